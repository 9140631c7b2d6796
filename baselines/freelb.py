"""FreeLB: the parameter gradient is the average over the iterates of an ascent on the embeddings.

Zhu et al. 2020, Algorithm 1; constants and order follow the authors' script for transformers,
``huggingface-transformers/examples/run_glue_freelb.py`` of zhuchen03/FreeLB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from harness.methods import adversary
from harness.methods.interface import Arguments, LimitingCase, Method, PassCount, mean_of
from harness.methods.search_space import Range, space

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.interface import Batch, Model


class FreeLBArguments(Arguments):
    """Defaults: the authors' setting for MNLI (launch/run_glue.sh), their smallest one."""

    steps: int = Field(3, ge=1, description="forward passes per batch (K); the ascent has one step less")
    step_size: float = Field(0.04, gt=0, description="length of an ascent step, in the norm")
    start: float = Field(0.08, ge=0, description="size of the random start; 0 starts at the clean batch")
    start_law: Literal["ball", "uniform", "normal"] = Field(
        "ball", description="ball: as FreeLB; uniform, normal: as MAT's notebooks, padding included"
    )
    radius: float = Field(0.0, ge=0, description="bound on the perturbation, in the norm; 0: no bound")
    norm: adversary.Norm = Field("l2", description="l2 or linf, per example over the complete sequence")
    # MAT's notebooks rescale the complete example; the authors clip coordinates.
    projection: Literal["clip", "rescale"] = Field(
        "clip", description="for linf: clip coordinates, or rescale"
    )


class FreeLB(Method):
    """The average of K gradients along an ascent, and one optimizer step."""

    name = "freelb"
    summary = "gradient averaged over the iterates of an ascent on the word embeddings"
    citation = "Zhu et al. 2020, FreeLB: Enhanced Adversarial Training for NLU (ICLR), arXiv 1909.11764"
    Arguments = FreeLBArguments
    # Around the authors' launch files.
    search_space = space(
        steps=Range(1, 5),
        step_size=Range(1e-3, 0.3, log=True),
        start=Range(0.0, 1.0),
        radius=Range(0.0, 1.0),
    )
    perturbs_padding = True  # only with the start of MAT's notebooks; attention masks it
    limiting_cases = (
        LimitingCase({"steps": 1, "start": 0.0}, "vanilla", {}, 1e-12),
        LimitingCase({"steps": 3, "start": 0.0, "radius": 1e-12}, "vanilla", {}, 1e-8),
    )
    arguments: FreeLBArguments

    @classmethod
    def passes(cls, arguments: FreeLBArguments, regression: bool = False) -> PassCount:
        """K forwards and K backwards; each backward computes both gradients."""
        return PassCount(forward=arguments.steps, backward=arguments.steps, optimizer_steps=1)

    @classmethod
    def norm_bound(cls, arguments: FreeLBArguments) -> tuple[adversary.Norm, float] | None:
        """The radius, or the size of the random start if that is larger, because it is not projected."""
        if arguments.radius == 0 or arguments.start_law != "ball":
            return None
        return arguments.norm, max(arguments.radius, arguments.start)

    def gradient(self, model: Model, batch: Batch) -> Tensor:
        """Accumulate the task gradient over K perturbed passes, each divided by K."""
        args = self.arguments
        delta = self._start(model, batch)
        losses = []
        for iterate in range(args.steps):
            delta.requires_grad_()
            loss = model.loss(model(batch, inputs_embeds=model.input_embeddings(batch) + delta).logits, batch)
            model.backward(loss / args.steps)
            losses.append(loss)
            if iterate < args.steps - 1:  # no pass would use another iterate
                delta = self._ascend(delta)
        return mean_of(losses)

    def _start(self, model: Model, batch: Batch) -> Tensor:
        words, args = model.input_embeddings(batch).detach(), self.arguments
        if args.start == 0:
            return words.new_zeros(words.shape)
        if args.start_law != "ball":
            return adversary.scaled_start(words, args.start_law, args.start, model.draws)
        return adversary.uniform_start(words, batch.attention_mask, args.start, args.norm, model.draws)

    def _ascend(self, delta: Tensor) -> Tensor:
        assert delta.grad is not None
        args = self.arguments
        if args.norm == "linf" and args.projection == "clip" and args.radius > 0:
            moved = adversary.ascend(delta, delta.grad, args.step_size, 0.0, args.norm)
            return adversary.clip(moved, args.radius)
        return adversary.ascend(delta, delta.grad, args.step_size, args.radius, args.norm)
