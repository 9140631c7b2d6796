"""FreeLB: the parameter gradient is the average over the iterates of an ascent on the embeddings.

Zhu et al. 2020, Algorithm 1; constants and order follow the authors' script for transformers,
``huggingface-transformers/examples/run_glue_freelb.py`` of zhuchen03/FreeLB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from harness.methods import adversary
from harness.methods.interface import Arguments, Limit, Method, Passes, mean_of
from harness.methods.search import Range, space

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.interface import Batch, Model


class FreeLBArguments(Arguments):
    """Defaults: the authors' setting for MNLI (launch/run_glue.sh), the smallest of theirs."""

    steps: int = Field(3, ge=1, description="forward passes a batch (K); the ascent takes one fewer")
    step_size: float = Field(0.04, gt=0, description="length of an ascent step, in the norm")
    start: float = Field(0.08, ge=0, description="size of the random start; 0 starts at the clean batch")
    start_law: Literal["ball", "uniform", "normal"] = Field(
        "ball", description="ball: FreeLB's own; else as MAT's notebooks draw, padding included"
    )
    radius: float = Field(0.0, ge=0, description="bound on the perturbation, in the norm; 0 is none")
    norm: adversary.Norm = Field("l2", description="l2 or linf, per example over the whole sequence")
    # MAT's notebooks shrink the whole example where the authors clip coordinates.
    projection: Literal["clip", "rescale"] = Field(
        "clip", description="for linf: clip coordinates, or rescale"
    )


class FreeLB(Method):
    """K passes at growing perturbations, gradients averaged, one step."""

    name = "freelb"
    summary = "gradient averaged over the iterates of an ascent on the word embeddings"
    citation = "Zhu et al. 2020, FreeLB: Enhanced Adversarial Training for NLU (ICLR), arXiv 1909.11764"
    Arguments = FreeLBArguments
    # Around the authors' launch files.
    search = space(
        steps=Range(1, 5),
        step_size=Range(1e-3, 0.3, log=True),
        start=Range(0.0, 1.0),
        radius=Range(0.0, 1.0),
    )
    perturbs_padding = True  # with the notebooks' start only; attention masks it
    limits = (
        Limit({"steps": 1, "start": 0.0}, "vanilla", {}, 1e-12),
        Limit({"steps": 3, "start": 0.0, "radius": 1e-12}, "vanilla", {}, 1e-8),
    )
    arguments: FreeLBArguments

    @classmethod
    def passes(cls, arguments: FreeLBArguments, regression: bool = False) -> Passes:
        """K forwards and K backwards; each backward gives both gradients."""
        return Passes(forward=arguments.steps, backward=arguments.steps, optimizer_steps=1)

    @classmethod
    def bound(cls, arguments: FreeLBArguments) -> tuple[adversary.Norm, float] | None:
        """The radius, or the random start where that is larger: it is not projected."""
        if arguments.radius == 0 or arguments.start_law != "ball":
            return None
        return arguments.norm, max(arguments.radius, arguments.start)

    def gradient(self, model: Model, batch: Batch) -> Tensor:
        """Accumulate the task gradient over K perturbed passes, each divided by K."""
        chosen = self.arguments
        delta = self._start(model, batch)
        losses = []
        for iterate in range(chosen.steps):
            delta.requires_grad_()
            loss = model.loss(model(batch, words=model.words(batch) + delta).logits, batch)
            model.backward(loss / chosen.steps)
            losses.append(loss)
            if iterate < chosen.steps - 1:  # the last iterate is not moved: nothing would use it
                delta = self._ascend(delta)
        return mean_of(losses)

    def _start(self, model: Model, batch: Batch) -> Tensor:
        words, chosen = model.words(batch).detach(), self.arguments
        if chosen.start == 0:
            return words.new_zeros(words.shape)
        if chosen.start_law != "ball":
            return adversary.scaled_start(words, chosen.start_law, chosen.start, model.draws)
        return adversary.uniform_start(
            words, batch.mask, self.arguments.start, self.arguments.norm, model.draws
        )

    def _ascend(self, delta: Tensor) -> Tensor:
        assert delta.grad is not None
        chosen = self.arguments
        if chosen.norm == "linf" and chosen.projection == "clip" and chosen.radius > 0:
            moved = adversary.ascend(delta, delta.grad, chosen.step_size, 0.0, chosen.norm)
            return adversary.clip(moved, chosen.radius)
        return adversary.ascend(delta, delta.grad, chosen.step_size, chosen.radius, chosen.norm)
