"""PGD-K, "standard adversarial training": train at the perturbation after K ascent steps.

Madry et al. 2018; on embeddings as in MAT's notebook ``train_PGD.ipynb`` (Charles-Zhong/MAT, b76af73).
Before December 2022 its norm was L2 per example, since then L-infinity, with the same constants, so the name
means two different radii. Clean examples are not part of the parameter gradient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from harness.methods import adversary
from harness.methods.interface import Arguments, LimitingCase, Method, PassCount
from harness.methods.search_space import Choice, Range, space

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.interface import Batch, Model


class PGDArguments(Arguments):
    """Defaults: the notebook's constants, L-infinity reading."""

    steps: int = Field(3, ge=0, description="ascent steps (K); 0 is vanilla if the start is zero")
    step_size: float = Field(1e-2, gt=0, description="length of an ascent step, in the norm")
    radius: float = Field(2e-2, ge=0, description="bound on the perturbation, in the norm; 0: no bound")
    norm: adversary.Norm = Field("linf", description="l2 or linf, per example over the complete sequence")
    start: adversary.Start = Field("zero", description="distribution of the initial perturbation")
    start_size: float = Field(1e-2, ge=0, description="scale of the initial perturbation")


class PGD(Method):
    """Gradient at the last perturbation of an ascent on the task loss."""

    name = "pgd"
    summary = "gradient at the end of an ascent on the word embeddings"
    citation = "Madry et al. 2018, Towards Deep Learning Models Resistant to Adversarial Attacks (ICLR)"
    Arguments = PGDArguments
    # Around FreeLB's launch files for this method and the constants of the notebook.
    search_space = space(
        steps=Range(1, 5),
        step_size=Range(1e-3, 0.3, log=True),
        radius=Range(0.0, 1.0),
        start=Choice(("zero", "uniform", "normal")),
        start_size=Range(1e-4, 1e-1, log=True),
    )
    perturbs_padding = True  # a random start has values on padding, as released; attention masks them
    limiting_cases = (LimitingCase({"steps": 0}, "vanilla", {}, 0.0),)
    arguments: PGDArguments

    @classmethod
    def passes(cls, arguments: PGDArguments, regression: bool = False) -> PassCount:
        """K + 1 forwards, K backward passes to the input, 1 to the parameters."""
        steps = arguments.steps
        return PassCount(forward=steps + 1, backward=1, input_backward=steps, optimizer_steps=1)

    @classmethod
    def norm_bound(cls, arguments: PGDArguments) -> tuple[adversary.Norm, float] | None:
        """The radius; a random start is not projected."""
        bounded = arguments.radius > 0 and arguments.start == "zero"
        return (arguments.norm, arguments.radius) if bounded else None

    def gradient(self, model: Model, batch: Batch) -> Tensor:
        """Gradient of the task loss at the last perturbation."""
        args = self.arguments
        words = model.input_embeddings(batch).detach()
        delta = adversary.scaled_start(words, args.start, args.start_size, model.draws)
        for _ in range(args.steps):
            delta.requires_grad_()
            ascent = model.loss(model(batch, inputs_embeds=words + delta).logits, batch)
            gradient = model.input_gradient(ascent, delta)
            delta = adversary.ascend(delta, gradient, args.step_size, args.radius, args.norm)
        loss = model.loss(model(batch, inputs_embeds=model.input_embeddings(batch) + delta).logits, batch)
        model.backward(loss)
        return loss.detach()
