"""Perturbations of variants, measured from the same weights on the same batch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from harness.engine.batches import collate
from harness.engine.encoder import Encoder
from harness.engine.optim import ScheduledOptimizer
from harness.engine.perturbation import (
    Magnitude,
    last_perturbation,
    measure,
    perturbed_logits,
    rounding,
)
from harness.engine.recorder import Perturbation
from harness.methods import adversary
from harness.methods.interface import Batch
from harness.methods.registry import method_class
from harness.plan.grid import Cell
from harness.plan.plan import Plan
from harness.runs.session import open_session

FLOOR_PAIRS = 20
"""Pairs of dropout masks over which the dropout floor is averaged."""


@dataclass(frozen=True)
class Measurement:
    """A variant's perturbation; both None for a variant that has none."""

    magnitude: Magnitude | None = None
    gradient: float | None = None
    """Norm of the parameters' gradient of the consistency loss."""
    gradient_rounding: float | None = None
    """The same for a perturbation by rounding only."""


@dataclass(frozen=True)
class Diagnosis:
    """Measurements of several variants, and what dropout does without any perturbation."""

    measurements: list[Measurement]
    dropout_divergence: float
    """Consistency loss of two clean passes under different dropout masks."""
    dropout_gradient: float


def diagnose(plan: Plan, cells: Sequence[Cell], seed: int, steps: int) -> Diagnosis:
    """Train vanilla for ``steps`` batches, then measure every cell from these weights on unseen rows."""
    encoder, batch = _warmed_up(plan, cells[0], seed, steps)
    measurements = [_measurement(encoder, batch, cell) for cell in cells]
    floor, gradient = dropout_floor(encoder, batch), consistency_gradient(encoder, batch, None)
    return Diagnosis(measurements, floor, gradient)


def _warmed_up(plan: Plan, cell: Cell, seed: int, steps: int) -> tuple[Encoder, Batch]:
    """Return an encoder after ``steps`` vanilla batches, and a batch of rows that it was not trained on."""
    vanilla = method_class("vanilla")
    changes = {"steps": steps, "selection": "last", "record_report_curve": False}
    protocol = cell.protocol.model_copy(update=changes)
    warm_up = replace(cell, method=vanilla(vanilla.Arguments()), protocol=protocol)
    session = open_session(plan, warm_up, seed, report=False)
    if steps:
        session.trainer.run(lambda _: None, lambda _: None)
    unseen = session.data.selection
    return session.encoder, collate(unseen.tokens, unseen.rows[: protocol.batch_size], session.encoder.device)


def dropout_floor(encoder: Encoder, batch: Batch) -> float:
    """Return the consistency loss of two clean passes under different dropout masks."""
    values = []
    for _ in range(FLOOR_PAIRS):
        with encoder.training_step("independent"), torch.no_grad():
            values.append(float(_distance(encoder, encoder(batch).logits, encoder(batch).logits)))
    return sum(values) / len(values)


def _measurement(encoder: Encoder, batch: Batch, cell: Cell) -> Measurement:
    """Return the sizes of a variant's last perturbation; the weights are left as they were."""
    method = type(cell.method)(cell.method.arguments)
    weights = [p.detach().clone() for p in encoder.named_parameters().values()]
    optimizer = ScheduledOptimizer(encoder.network, cell.protocol, 1, encoder.meter, encoder.loss_scale)
    perturbation = last_perturbation(encoder, method, batch, optimizer)
    with torch.no_grad():
        for parameter, kept in zip(encoder.named_parameters().values(), weights, strict=True):
            parameter.copy_(kept)
    if perturbation is None:
        return Measurement()
    control = rounding(encoder, batch, perturbation.level, cell.protocol.precision, seed=0)
    return Measurement(
        magnitude=measure(encoder, batch, perturbation, cell.protocol.precision),
        gradient=consistency_gradient(encoder, batch, perturbation),
        gradient_rounding=consistency_gradient(encoder, batch, control),
    )


def consistency_gradient(encoder: Encoder, batch: Batch, perturbation: Perturbation | None) -> float:
    """Return the norm of the parameters' gradient of the consistency loss.

    With a perturbation: its effect only (no dropout). Without: the effect of dropout (two clean passes).
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
