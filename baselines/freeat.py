"""FreeAT: every ascent step also updates the parameters.

Shafahi et al. 2019; on embeddings as in MAT's notebook ``train_FreeAT.ipynb`` (Charles-Zhong/MAT,
b76af73) and FreeLB's ``freeat_train_step``: the perturbation starts anew on every batch, so the
original's warm start across batches is not done. The schedule moves at every update.

The notebook cuts the epochs to floor(E / K), so that updates stay equal, but leaves the schedule's
horizon at E epochs; an experiment sets the epochs, and the rate then ends at zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from harness.methods import adversary
from harness.methods.interface import Arguments, Limit, Method, Passes, mean_of
from harness.methods.search import Choice, Range, space

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.interface import Batch, Model, Optimizer


class FreeATArguments(Arguments):
    """Defaults: the notebook's constants, L-infinity reading."""

    steps: int = Field(3, ge=1, description="passes and updates a batch (K)")
    step_size: float = Field(1e-2, gt=0, description="length of an ascent step, in the norm")
    radius: float = Field(2e-2, ge=0, description="bound on the perturbation, in the norm; 0 is none")
    norm: adversary.Norm = Field("linf", description="l2 or linf, per example over the whole sequence")
    start: adversary.Start = Field("zero", description="law of the first perturbation")
    start_size: float = Field(1e-2, ge=0, description="scale of the first perturbation")


class FreeAT(Method):
    """K passes; each gives the gradient of the parameters and of the perturbation."""

    name = "freeat"
    summary = "ascent on the perturbation and descent on the parameters from the same passes"
    citation = "Shafahi et al. 2019, Adversarial Training for Free! (NeurIPS), arXiv 1904.12843"
    Arguments = FreeATArguments
    # Around FreeLB's launch files for this method, and the notebook's constants.
    search = space(
        steps=Range(1, 5),
        step_size=Range(1e-3, 0.3, log=True),
        radius=Range(0.0, 1.0),
        start=Choice(("zero", "uniform", "normal")),
        start_size=Range(1e-4, 1e-1, log=True),
    )
    perturbs_padding = True  # a random start covers every position, as released; attention masks it
    limits = (Limit({"steps": 1}, "vanilla", {}, 1e-12),)
    arguments: FreeATArguments

    @classmethod
    def passes(cls, arguments: FreeATArguments, regression: bool = False) -> Passes:
        """K forwards, K backwards, K updates."""
        return Passes(forward=arguments.steps, backward=arguments.steps, optimizer_steps=arguments.steps)

    @classmethod
    def bound(cls, arguments: FreeATArguments) -> tuple[adversary.Norm, float] | None:
        """The radius; a random start is not projected."""
        bounded = arguments.radius > 0 and arguments.start == "zero"
        return (arguments.norm, arguments.radius) if bounded else None

    def step(self, model: Model, batch: Batch, optimizer: Optimizer) -> Tensor:
        """Take K updates on one batch."""
        chosen = self.arguments
        words = model.words(batch).detach()
        delta = adversary.scaled_start(words, chosen.start, chosen.start_size, model.draws)
        losses = []
        for k in range(chosen.steps):
            optimizer.within_batch(k / chosen.steps)
            delta.requires_grad_()
            loss = model.loss(model(batch, words=model.words(batch) + delta).logits, batch)
            model.backward(loss)
            losses.append(loss)
            assert delta.grad is not None
            delta = adversary.ascend(delta, delta.grad, chosen.step_size, chosen.radius, chosen.norm)
            optimizer.step()
        return mean_of(losses)
