"""Perturbations of variants, measured from the same weights on the same batch."""

from typing import Any

import torch
from torch import Tensor

from harness.core.batches import collate, shuffled
from harness.core.encoder import Encoder
from harness.core.loop import Split, train_batch
from harness.core.magnitude import last_perturbation, measure, perturbed_logits, rounding
from harness.core.streams import Streams
from harness.core.update import Update
from harness.core.watch import Perturbation
from harness.methods import adversary
from harness.methods.interface import Batch
from harness.methods.registry import method_class
from harness.plan.grid import Cell
from harness.plan.plan import Plan
from harness.runs.prepare import prepare

FLOOR_PAIRS = 20
"""Pairs of dropout masks that the floor is averaged over."""


def warmed_up(plan: Plan, cell: Cell, seed: int, steps: int) -> tuple[Encoder, Batch]:
    """Return an encoder after ``steps`` vanilla steps, and a batch of rows that it was not trained on."""
    ready = prepare(plan, cell, seed)
    _train(ready.encoder, cell, ready.data.training, ready.streams, steps)
    unseen = ready.data.selection
    rows = unseen.rows[: cell.protocol.batch_size]
    return ready.encoder, collate(unseen.tokens, rows, ready.encoder.device)


def _train(encoder: Encoder, cell: Cell, training: Split, streams: Streams, steps: int) -> None:
    kind = method_class("vanilla")
    method = kind(kind.Arguments())
    update = Update(encoder.network, cell.protocol, steps, encoder.meter, encoder.loss_scale)
    done = 0
    while done < steps:
        size = cell.protocol.batch_size
        for batch in shuffled(training.tokens, training.rows, size, streams.order, encoder.device):
            if done == steps:
                return
            train_batch(encoder, method, batch, update)
            done += 1


def dropout_floor(encoder: Encoder, batch: Batch) -> float:
    """Return the consistency loss of two clean passes under different dropout masks."""
    values = []
    for _ in range(FLOOR_PAIRS):
        with encoder.training_step("independent"), torch.no_grad():
            values.append(float(_distance(encoder, encoder(batch).logits, encoder(batch).logits)))
    return sum(values) / len(values)


def measured(encoder: Encoder, batch: Batch, cell: Cell) -> dict[str, Any]:
    """Return the sizes of a variant's last perturbation; empty for one that has none."""
    method = type(cell.method)(cell.method.arguments)
    weights = [p.detach().clone() for p in encoder.named_parameters().values()]
    update = Update(encoder.network, cell.protocol, 1, encoder.meter, encoder.loss_scale)
    perturbation = last_perturbation(encoder, method, batch, update)
    with torch.no_grad():
        for parameter, kept in zip(encoder.named_parameters().values(), weights, strict=True):
            parameter.copy_(kept)
    if perturbation is None:
        return {}
    control = rounding(encoder, batch, perturbation.level, cell.protocol.precision, seed=0)
    return {
        **measure(encoder, batch, perturbation, cell.protocol.precision).as_dict(),
        "gradient": consistency_gradient(encoder, batch, perturbation),
        "gradient_rounding": consistency_gradient(encoder, batch, control),
    }


def consistency_gradient(encoder: Encoder, batch: Batch, perturbation: Perturbation | None) -> float:
    """Return the norm of the parameters' gradient of the consistency loss.

    With a perturbation: of that alone (no dropout). Without: of dropout alone (two clean passes).
    """
    with encoder.training_step("independent" if perturbation is None else "off"):
        clean = encoder(batch).logits
        encoder.backward(_distance(encoder, clean, perturbed_logits(encoder, batch, perturbation)))
    gradients = [p.grad for p in encoder.named_parameters().values() if p.grad is not None]
    size = float(torch.stack([g.norm() for g in gradients]).norm())
    encoder.network.zero_grad(set_to_none=True)
    return size


def _distance(encoder: Encoder, u: Tensor, v: Tensor) -> Tensor:
    return adversary.squared_difference(u, v) if encoder.regression else adversary.symmetric_kl(u, v)
