"""A pass over a batch in parts, to save memory: same gradient, but each part has two forward passes.

Only the inputs of a part are kept. What its backward pass needs is computed again then, with the same dropout
masks. Methods see complete batches, so several optimizer steps per batch, losses that couple examples and
draws for complete batches do not change.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from harness.methods.interface import Batch, Pass

Compute = Callable[[Batch, Tensor | None, Tensor | None, Mapping[str, Tensor] | None], Pass]


def in_micro_batches(
    compute: Compute,
    size: int,
    batch: Batch,
    inputs_embeds: Tensor | None,
    embedding_output: Tensor | None,
    parameters: Mapping[str, Tensor] | None,
) -> Pass:
    """Return what ``compute`` gives for the complete batch, with ``size`` examples at a time."""
    passes = []
    for start in range(0, len(batch.input_ids), size):
        part = slice(start, start + size)
        inputs = (
            _part(batch, part),
            None if inputs_embeds is None else inputs_embeds[part],
            None if embedding_output is None else embedding_output[part],
            parameters,
        )
        if torch.is_grad_enabled():
            passes.append(
                checkpoint(_on_device_of, inputs[0].input_ids, compute, *inputs, use_reentrant=False)
            )
        else:
            passes.append(compute(*inputs))
    return Pass(
        torch.cat([p.logits for p in passes]),
        torch.cat([p.embedding_output for p in passes]),
        torch.cat([p.last_hidden for p in passes]),
    )


def _on_device_of(_: Tensor, compute: Compute, *inputs: Any) -> Pass:
    """Run ``compute``; the tensor is on its device.

    ``checkpoint`` saves the random state of the devices of the tensors among its own arguments only. Without
    one, a part would be computed again with other dropout masks on a GPU.
    """
    return compute(*inputs)


def _part(batch: Batch, part: slice) -> Batch:
    mask = batch.attention_mask[part]
    return Batch(batch.input_ids[part], mask, batch.token_type_ids[part], batch.labels[part], int(mask.sum()))
