"""The size of a method's perturbation, and whether the precision of the run resolves it.

At the published settings, some perturbations change the loss less than rounding does; such a method then does
not do what its name says. The control is rounding only: the same embeddings, each coordinate moved by one
unit in the last place of the run's precision, up or down at random.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from harness.engine.encoder import Encoder
from harness.engine.optim import ScheduledOptimizer
from harness.engine.recorder import Level, Perturbation, Recorder
from harness.methods import adversary
from harness.methods.interface import Batch, Method

LAST_PLACE = {"fp32": 2.0**-23, "bf16": 2.0**-7, "fp16": 2.0**-10, "fp64": 2.0**-52}
TF32_LAST_PLACE = 2.0**-10
CONTROLS = 5
"""Draws of the rounding control; the largest counts."""


@dataclass(frozen=True)
class Magnitude:
    """Sizes of one perturbation on one batch, in evaluation mode."""

    l2: float
    """Mean over the examples of the L2 norm."""
    linf: float
    """Largest coordinate."""
    loss_change: float
    """Mean over the examples of the absolute change of the task loss."""
    rounding_change: float
    """The same by rounding only."""
    rounding_divergence: float
    """The divergence that rounding causes."""
    divergence: float
    """Symmetric KL between clean and perturbed predictions (squared difference for a regression)."""
    logit_change: float
    """Largest change of a logit."""
    flips: int
    """Number of examples whose predicted class changes."""

    @property
    def resolved(self) -> bool | None:
        """Whether the perturbation changes the loss more than rounding does; None if a size is not finite."""
        finite = all(math.isfinite(size) for size in asdict(self).values())
        return self.loss_change > self.rounding_change if finite else None

    def as_dict(self) -> dict[str, float | bool | str | None]:
        """Return the sizes, and ``resolved``, by name; sizes that are not finite are None, with a reason."""
        sizes = {name: size if math.isfinite(size) else None for name, size in asdict(self).items()}
        reason = {} if self.resolved is not None else {"reason": "not finite at the end of training"}
        return {**sizes, "resolved": self.resolved, **reason}


def last_place(precision: str, device: torch.device) -> float:
    """Return one unit in the last place of a number near 1, as matrix products on ``device`` see it."""
    tf32 = device.type == "cuda" and torch.get_float32_matmul_precision() != "highest"
    return TF32_LAST_PLACE if precision == "fp32" and tf32 else LAST_PLACE[precision]


def last_perturbation(
    encoder: Encoder, method: Method, batch: Batch, optimizer: ScheduledOptimizer
) -> Perturbation | None:
    """Take one step, which moves the weights; return the last perturbation of the method, if it has one."""
    encoder.recorder = recorder = Recorder(method.perturbs(method.arguments))
    try:
        with encoder.training_step(method.arguments.dropout):
            method.step(encoder, batch, optimizer)
    finally:
        encoder.recorder = None
    return recorder.perturbations[-1] if recorder.perturbations else None


def measure(encoder: Encoder, batch: Batch, perturbation: Perturbation, precision: str) -> Magnitude:
    """Return the sizes of a perturbation at the present weights of the encoder."""
    encoder.network.eval()
    distance = adversary.squared_difference if encoder.regression else adversary.symmetric_kl
    with torch.no_grad():
        base = perturbed_logits(encoder, batch, None)
        moved = perturbed_logits(encoder, batch, perturbation)
        rounded = [
            perturbed_logits(encoder, batch, rounding(encoder, batch, perturbation.level, precision, seed))
            for seed in range(CONTROLS)
        ]
    real = perturbation.delta * batch.attention_mask.unsqueeze(2)
    return Magnitude(
        l2=float(adversary.norm(real, "l2").mean()),
        linf=float(real.abs().max()),
        loss_change=change_of(encoder, batch, base, moved),
        rounding_change=max(change_of(encoder, batch, base, r) for r in rounded),
        rounding_divergence=max(float(distance(base, r)) for r in rounded),
        divergence=float(distance(base, moved)),
        logit_change=float((base - moved).abs().max()),
        flips=0 if encoder.regression else int((base.argmax(1) != moved.argmax(1)).sum()),
    )


def perturbed_logits(encoder: Encoder, batch: Batch, perturbation: Perturbation | None) -> Tensor:
    """Return the logits of a pass with a perturbation, or of a clean pass."""
    if perturbation is None:
        return encoder(batch).logits
    if perturbation.level == "inputs_embeds":
        return encoder(batch, inputs_embeds=encoder.input_embeddings(batch) + perturbation.delta).logits
    return encoder(batch, embedding_output=encoder(batch).embedding_output + perturbation.delta).logits


def rounding(encoder: Encoder, batch: Batch, level: Level, precision: str, seed: int) -> Perturbation:
    """Return a perturbation of one unit in the last place, with random signs."""
    with torch.no_grad():
        words = level == "inputs_embeds"
        origin = encoder.input_embeddings(batch) if words else encoder(batch).embedding_output
    generator = torch.Generator(origin.device).manual_seed(seed)
    sign = torch.empty_like(origin).uniform_(-1, 1, generator=generator).sign()
    return Perturbation(level, origin * (1 + last_place(precision, origin.device) * sign) - origin)


def change_of(encoder: Encoder, batch: Batch, base: Tensor, moved: Tensor) -> float:
    """Return the mean absolute change of the examples' task loss between two sets of logits."""
    losses = encoder.example_losses(moved, batch) - encoder.example_losses(base, batch)
    return float(losses.abs().mean())
