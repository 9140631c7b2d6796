"""PGD-K, "standard adversarial training": train on the worst perturbation that K ascent steps find.

Madry et al. 2018; on embeddings as in MAT's notebook ``train_PGD.ipynb`` (Charles-Zhong/MAT, b76af73).
Before December 2022 its norm was L2 per example, since then L-infinity, with the same constants: two
different radii under one name. Clean examples do not enter the parameter gradient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from harness.methods import adversary
from harness.methods.interface import Arguments, Limit, Method, Passes
from harness.methods.search import Choice, Range, space

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.interface import Batch, Model


class PGDArguments(Arguments):
    """Defaults: the notebook's constants, L-infinity reading."""

    steps: int = Field(3, ge=0, description="ascent steps (K); 0 is vanilla when the start is zero")
    step_size: float = Field(1e-2, gt=0, description="length of an ascent step, in the norm")
    radius: float = Field(2e-2, ge=0, description="bound on the perturbation, in the norm; 0 is none")
    norm: adversary.Norm = Field("linf", description="l2 or linf, per example over the whole sequence")
    start: adversary.Start = Field("zero", description="law of the first perturbation")
    start_size: float = Field(1e-2, ge=0, description="scale of the first perturbation")


class PGD(Method):
    """Ascend on the task loss, then take the gradient at the last perturbation."""

    name = "pgd"
    summary = "gradient at the end of an ascent on the word embeddings"
    citation = "Madry et al. 2018, Towards Deep Learning Models Resistant to Adversarial Attacks (ICLR)"
    Arguments = PGDArguments
    # Around FreeLB's launch files for this method, and the notebook's constants.
    search = space(
        steps=Range(1, 5),
        step_size=Range(1e-3, 0.3, log=True),
        radius=Range(0.0, 1.0),
        start=Choice(("zero", "uniform", "normal")),
        start_size=Range(1e-4, 1e-1, log=True),
    )
    perturbs_padding = True  # a random start covers every position, as released; attention masks it
    limits = (Limit({"steps": 0}, "vanilla", {}, 0.0),)
    arguments: PGDArguments

    @classmethod
    def passes(cls, arguments: PGDArguments, regression: bool = False) -> Passes:
        """K passes for the ascent, one for the parameters."""
        steps = arguments.steps
        return Passes(forward=steps + 1, backward=1, input_backward=steps, optimizer_steps=1)

    @classmethod
    def bound(cls, arguments: PGDArguments) -> tuple[adversary.Norm, float] | None:
        """The radius; a random start is not projected."""
        bounded = arguments.radius > 0 and arguments.start == "zero"
        return (arguments.norm, arguments.radius) if bounded else None

    def gradient(self, model: Model, batch: Batch) -> Tensor:
        """Gradient of the task loss at the last perturbation."""
        chosen = self.arguments
        words = model.words(batch).detach()
        delta = adversary.scaled_start(words, chosen.start, chosen.start_size, model.draws)
        for _ in range(chosen.steps):
            delta.requires_grad_()
            ascent = model.loss(model(batch, words=words + delta).logits, batch)
            gradient = model.input_gradient(ascent, delta)
            delta = adversary.ascend(delta, gradient, chosen.step_size, chosen.radius, chosen.norm)
        loss = model.loss(model(batch, words=model.words(batch) + delta).logits, batch)
        model.backward(loss)
        return loss.detach()
