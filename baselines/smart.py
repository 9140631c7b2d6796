"""SMART: smoothness-inducing regularisation, and a moving-average teacher (Bregman proximal point).

Jiang et al. 2020. The steps are those of the first author's released
``mymodule/sentence_prediction_mtvat.py`` (HMJiangGatech/Roberta_GLUE), the only public code with
both terms, cleaned: mean instead of summed cross-entropy, so that the weights mean what they say,
and the Kullback-Leibler divergence by log-softmax instead of its ``stable_kl``. ``released=True``
takes both as they were released.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import Field

from harness.methods import adversary
from harness.methods.interface import Arguments, Limit, Method, Pass, Passes
from harness.methods.lazy import torch
from harness.methods.search import Range, space

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from harness.methods.interface import Batch, Model


class SmartArguments(Arguments):
    """Defaults: script_glue_base_mtvat, decays and ramp of MNLI and QQP."""

    steps: int = Field(1, ge=1, description="ascent steps on the embedding output")
    step_size: float = Field(1e-3, gt=0, description="largest coordinate that a step adds to a token")
    noise: float = Field(1e-5, gt=0, description="standard deviation of the random start")
    # The author's code has 1e-4 here, which swallows the gradient near the clean point: steps of
    # 1e-3 then move a token by 3e-5 only.
    stabiliser: float = Field(1e-12, ge=0, description="added to the gradient's norm before dividing by it")
    weight: float = Field(1.0, ge=0, description="weight of the smoothness term; 0 leaves it out")
    teacher_weight: float = Field(1.0, ge=0, description="weight of the teacher term; 0 leaves it out")
    early_decay: float = Field(0.99, ge=0, le=1, description="teacher's decay before the ramp's end")
    late_decay: float = Field(0.999, ge=0, le=1, description="teacher's decay afterwards")
    ramp: int = Field(4000, ge=0, description="batches with the early decay")
    released: bool = Field(False, description="scale, divergence and teacher schedule of the author's code")


class Smart(Method):
    """Task loss + smoothness around the embedding output + closeness to the teacher."""

    name = "smart"
    summary = "smoothness around the embedding output and a moving-average teacher"
    citation = "Jiang et al. 2020, SMART (ACL), arXiv 1911.03437"
    Arguments = SmartArguments
    # The authors' scripts vary both weights and the teacher's decays; the ramp follows the task's size.
    search = space(
        steps=Range(1, 3),
        step_size=Range(1e-5, 1e-1, log=True),
        noise=Range(1e-6, 1e-3, log=True),
        weight=Range(0.1, 10.0, log=True),
        teacher_weight=Range(0.0, 5.0),
        early_decay=Range(0.8, 0.999),
        late_decay=Range(0.9, 0.9999),
    )
    perturbs_padding = True  # noise is drawn for every position, as released; attention masks it
    limits = (Limit({"weight": 0.0, "teacher_weight": 0.0}, "vanilla", {}, 0.0),)
    arguments: SmartArguments

    def __init__(self, arguments: SmartArguments) -> None:
        super().__init__(arguments)
        self.teacher: dict[str, Tensor] = {}
        self.seen = 0

    @classmethod
    def passes(cls, arguments: SmartArguments, regression: bool = False) -> Passes:
        """Clean pass; ascent passes and one more for the smoothness; one for the teacher."""
        smooth, teacher = arguments.weight > 0, arguments.teacher_weight > 0
        return Passes(
            forward=1 + (arguments.steps + 1 if smooth else 0) + teacher,
            backward=1 + smooth,
            input_backward=arguments.steps if smooth else 0,
            optimizer_steps=1,
        )

    def gradient(self, model: Model, batch: Batch) -> Tensor:
        """Gradient of the three terms together."""
        chosen = self.arguments
        clean = model(batch)
        extra = clean.logits.new_zeros(())
        if chosen.weight > 0:
            extra = extra + chosen.weight * self._smoothness(model, batch, clean)
        if chosen.teacher_weight > 0:
            extra = extra + self._closeness(model, batch, clean.logits)
        # Released: a summed task loss and mean regularisers, all divided by the batch size, so that
        # against a mean task loss the two weights are 1/B of what is stated.
        scale = 1 / len(batch.labels) if chosen.released else 1.0
        loss = model.loss(clean.logits, batch) + scale * extra
        model.backward(loss)
        return loss.detach()

    def _smoothness(self, model: Model, batch: Batch, clean: Pass) -> Tensor:
        """Return l(v, u) + l(u, v), each with its second side a constant (v: perturbed, u: clean)."""
        # The perturbed embedding is a constant: no gradient reaches the embedding rows through it.
        fixed = clean.embedded.detach()
        moved = fixed + self.arguments.noise * model.draws.normal(fixed)
        for _ in range(self.arguments.steps):
            moved.requires_grad_()
            ascent = self._one_way(model, model(batch, embedded=moved).logits, clean.logits)
            gradient = model.input_gradient(ascent, moved)
            size = adversary.token_norm(gradient) + self.arguments.stabiliser
            size = size.clamp_min(torch.finfo(size.dtype).tiny)
            moved = (moved + self.arguments.step_size * gradient / size).detach()
        perturbed = model(batch, embedded=moved).logits
        return self._one_way(model, perturbed, clean.logits) + self._one_way(model, clean.logits, perturbed)

    def _closeness(self, model: Model, batch: Batch, clean: Tensor) -> Tensor:
        """Move the teacher, then return its weight times l(u, teacher)."""
        self._move_teacher(model)
        with torch.no_grad():  # train mode, its own dropout masks: as released
            target = model(batch, parameters=self.teacher).logits
        return self._teacher_weight(model) * self._one_way(model, clean, target)

    def _teacher_weight(self, model: Model) -> float:
        weight, ramp = self.arguments.teacher_weight, self.arguments.ramp
        if not (self.arguments.released and model.regression):
            return weight
        # Meant as a ramp-up, but it falls again after the ramp's end: the teacher fades out.
        return weight * min(1.0, math.exp(-5 * (1 - self.seen / ramp) ** 2)) if ramp else weight

    def _one_way(self, model: Model, logits: Tensor, target: Tensor) -> Tensor:
        """Return the consistency loss of ``logits`` with a constant ``target``, mean over the batch."""
        if model.regression:
            return adversary.squared_difference(logits, target.detach())
        if self.arguments.released:
            return adversary.stable_kl(logits, target.detach()).mean()  # over the classes too
        return adversary.kl_to(logits, target)

    def _move_teacher(self, model: Model) -> None:
        """teacher += (1 - decay)(theta - teacher), at the start of a batch; at the first one a copy."""
        parameters = {name: p.detach() for name, p in model.named_parameters().items()}
        self.seen += 1
        if not self.teacher:
            self.teacher = {name: p.clone() for name, p in parameters.items()}
            return
        chosen = self.arguments
        decay = chosen.early_decay if self.seen < chosen.ramp else chosen.late_decay
        torch._foreach_lerp_(list(self.teacher.values()), list(parameters.values()), 1 - decay)

    def state(self) -> dict[str, Tensor]:
        """Return the teacher and the number of batches that it has seen."""
        return {**self.teacher, "seen": torch.tensor(self.seen)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take the teacher back."""
        self.teacher = {name: value for name, value in state.items() if name != "seen"}
        self.seen = int(state["seen"])
