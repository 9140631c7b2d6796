"""A pass over a batch in parts, for less memory: the same gradient, the forward of each part computed twice.

Only a part's inputs are kept; what its backward needs is computed again, with the same dropout masks,
when its turn comes. Methods see whole batches, so this holds for every one of them: several optimizer
steps a batch, losses that couple examples and draws for whole batches are as they were.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from harness.methods.interface import Batch, Pass

Compute = Callable[[Batch, Tensor | None, Tensor | None, Mapping[str, Tensor] | None], Pass]


def in_parts(
    compute: Compute,
    size: int,
    batch: Batch,
    words: Tensor | None,
    embedded: Tensor | None,
    parameters: Mapping[str, Tensor] | None,
) -> Pass:
    """Return what ``compute`` gives for the whole batch, computed for ``size`` examples at a time."""
    passes = []
    for start in range(0, len(batch.ids), size):
        part = slice(start, start + size)
        given = (
            _part(batch, part),
            None if words is None else words[part],
            None if embedded is None else embedded[part],
            parameters,
        )
        if torch.is_grad_enabled():
            passes.append(checkpoint(compute, *given, use_reentrant=False))
        else:
            passes.append(compute(*given))
    return Pass(
        torch.cat([p.logits for p in passes]),
        torch.cat([p.embedded for p in passes]),
        torch.cat([p.last_hidden for p in passes]),
    )


def _part(batch: Batch, part: slice) -> Batch:
    mask = batch.mask[part]
    return Batch(batch.ids[part], mask, batch.types[part], batch.labels[part], int(mask.sum()))
