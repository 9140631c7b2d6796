"""FreeAT: every ascent step also updates the parameters.

Shafahi et al. 2019; on embeddings as in MAT's notebook ``train_FreeAT.ipynb`` (Charles-Zhong/MAT,
b76af73) and FreeLB's ``freeat_train_step``: every batch has a new initial perturbation, without the
original's warm start from the previous batch. The schedule moves at every update.

The notebook reduces the epochs to floor(E / K), so that the number of updates is equal, but keeps a schedule
of E epochs. Here the experiment sets the epochs, and the learning rate ends at zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from harness.methods import adversary
from harness.methods.interface import Arguments, LimitingCase, Method, PassCount, mean_of
from harness.methods.search_space import Choice, Range, space

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.interface import Batch, Model, Optimizer


class FreeATArguments(Arguments):
    """Defaults: the notebook's constants, L-infinity reading."""

    steps: int = Field(3, ge=1, description="passes and updates per batch (K)")
    step_size: float = Field(1e-2, gt=0, description="length of an ascent step, in the norm")
    radius: float = Field(2e-2, ge=0, description="bound on the perturbation, in the norm; 0: no bound")
    norm: adversary.Norm = Field("linf", description="l2 or linf, per example over the complete sequence")
    start: adversary.Start = Field("zero", description="distribution of the initial perturbation")
    start_size: float = Field(1e-2, ge=0, description="scale of the initial perturbation")


class FreeAT(Method):
    """K passes, each with the gradient of the parameters and of the perturbation."""

    name = "freeat"
    summary = "ascent on the perturbation and descent on the parameters from the same passes"
    citation = "Shafahi et al. 2019, Adversarial Training for Free! (NeurIPS), arXiv 1904.12843"
    Arguments = FreeATArguments
    # Around FreeLB's launch files for this method and the constants of the notebook.
    search_space = space(
        steps=Range(1, 5),
        step_size=Range(1e-3, 0.3, log=True),
        radius=Range(0.0, 1.0),
        start=Choice(("zero", "uniform", "normal")),
        start_size=Range(1e-4, 1e-1, log=True),
    )
    perturbs_padding = True  # a random start has values on padding, as released; attention masks them
    limiting_cases = (LimitingCase({"steps": 1}, "vanilla", {}, 1e-12),)
    arguments: FreeATArguments

    @classmethod
    def passes(cls, arguments: FreeATArguments, regression: bool = False) -> PassCount:
        """K forwards, K backwards, K updates."""
        return PassCount(forward=arguments.steps, backward=arguments.steps, optimizer_steps=arguments.steps)

    @classmethod
    def norm_bound(cls, arguments: FreeATArguments) -> tuple[adversary.Norm, float] | None:
        """The radius; a random start is not projected."""
        bounded = arguments.radius > 0 and arguments.start == "zero"
        return (arguments.norm, arguments.radius) if bounded else None

    def step(self, model: Model, batch: Batch, optimizer: Optimizer) -> Tensor:
        """Take K optimizer steps on one batch."""
        args = self.arguments
        words = model.input_embeddings(batch).detach()
        delta = adversary.scaled_start(words, args.start, args.start_size, model.draws)
        losses = []
        for k in range(args.steps):
            optimizer.within_batch(k / args.steps)
            delta.requires_grad_()
            loss = model.loss(model(batch, inputs_embeds=model.input_embeddings(batch) + delta).logits, batch)
            model.backward(loss)
            losses.append(loss)
            assert delta.grad is not None
            delta = adversary.ascend(delta, delta.grad, args.step_size, args.radius, args.norm)
            optimizer.step()
        return mean_of(losses)
