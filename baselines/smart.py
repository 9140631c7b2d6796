"""SMART: smoothness-inducing regularisation, and a moving-average teacher (Bregman proximal point).

Jiang et al. 2020. The steps are those of the first author's released
``mymodule/sentence_prediction_mtvat.py`` (HMJiangGatech/Roberta_GLUE), the only public code with both terms,
with two corrections: mean instead of summed cross-entropy, so that the weights do not depend on the batch
size, and the Kullback-Leibler divergence by log-softmax instead of its ``stable_kl``. ``released=True`` is
without the corrections.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import Field

from harness.methods import adversary
from harness.methods.foreach import lerp_all
from harness.methods.interface import Arguments, LimitingCase, Method, Pass, PassCount
from harness.methods.lazy import torch
from harness.methods.search_space import Range, space

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from harness.methods.interface import Batch, Model, Perturbs


class SmartArguments(Arguments):
    """Defaults: script_glue_base_mtvat, decays and ramp of MNLI and QQP."""

    steps: int = Field(1, ge=1, description="ascent steps on the embedding output")
    step_size: float = Field(1e-3, gt=0, description="largest coordinate that a step adds to a token")
    noise: float = Field(1e-5, gt=0, description="standard deviation of the random start")
    # The author's code has 1e-4 here, which is larger than the gradient near the clean point: a step of
    # 1e-3 then moves a token by only 3e-5.
    stabiliser: float = Field(
        1e-12, ge=0, description="added to the norm of the gradient before the division"
    )
    weight: float = Field(1.0, ge=0, description="weight of the smoothness term; 0 leaves it out")
    teacher_weight: float = Field(1.0, ge=0, description="weight of the teacher term; 0 leaves it out")
    early_decay: float = Field(0.99, ge=0, le=1, description="decay of the teacher during the ramp")
    late_decay: float = Field(0.999, ge=0, le=1, description="decay of the teacher after the ramp")
    ramp: int = Field(4000, ge=0, description="batches with the early decay")
    released: bool = Field(False, description="scale, divergence and teacher schedule of the author's code")


class Smart(Method):
    """Task loss + smoothness around the embedding output + closeness to the teacher."""

    name = "smart"
    summary = "smoothness around the embedding output and a moving-average teacher"
    citation = "Jiang et al. 2020, SMART (ACL), arXiv 1911.03437"
    Arguments = SmartArguments
    # The authors' scripts vary both weights and the decays; the ramp depends on the size of the task.
    search_space = space(
        steps=Range(1, 3),
        step_size=Range(1e-5, 1e-1, log=True),
        noise=Range(1e-6, 1e-3, log=True),
        weight=Range(0.1, 10.0, log=True),
        teacher_weight=Range(0.0, 5.0),
        early_decay=Range(0.8, 0.999),
        late_decay=Range(0.9, 0.9999),
    )
    perturbs_padding = True  # noise has values on padding, as released; attention masks them
    limiting_cases = (LimitingCase({"weight": 0.0, "teacher_weight": 0.0}, "vanilla", {}, 0.0),)
    arguments: SmartArguments

    def __init__(self, arguments: SmartArguments) -> None:
        super().__init__(arguments)
        self.teacher: dict[str, Tensor] = {}
        self.batches = 0

    @classmethod
    def passes(cls, arguments: SmartArguments, regression: bool = False) -> PassCount:
        """Clean pass; ascent passes and one more for the smoothness; one for the teacher."""
        smooth, teacher = arguments.weight > 0, arguments.teacher_weight > 0
        return PassCount(
            forward=1 + (arguments.steps + 1 if smooth else 0) + teacher,
            backward=1 + smooth,
            input_backward=arguments.steps if smooth else 0,
            optimizer_steps=1,
        )

    @classmethod
    def perturbs(cls, arguments: SmartArguments) -> Perturbs:
        """The embedding output."""
        return "embedded"

    def gradient(self, model: Model, batch: Batch) -> Tensor:
        """Gradient of the three terms together."""
        args = self.arguments
        clean = model(batch)
        extra = clean.logits.new_zeros(())
        if args.weight > 0:
            extra = extra + args.weight * self._smoothness(model, batch, clean)
        if args.teacher_weight > 0:
            extra = extra + self._closeness(model, batch, clean.logits)
        # Released: a summed task loss and mean regularisers, all divided by the batch size, so that relative
        # to a mean task loss both weights are 1/B of their stated value.
        scale = 1 / len(batch.labels) if args.released else 1.0
        loss = model.loss(clean.logits, batch) + scale * extra
        model.backward(loss)
        return loss.detach()

    def _smoothness(self, model: Model, batch: Batch, clean: Pass) -> Tensor:
        """Return l(v, u) + l(u, v), each with its second argument detached (v: perturbed, u: clean)."""
        # The perturbed embedding is detached: no gradient reaches the embedding rows through it.
        fixed = clean.embedding_output.detach()
        moved = fixed + self.arguments.noise * model.draws.normal(fixed)
        for _ in range(self.arguments.steps):
            moved.requires_grad_()
            ascent = self._one_way(model, model(batch, embedding_output=moved).logits, clean.logits)
            gradient = model.input_gradient(ascent, moved)
            size = adversary.token_norm(gradient) + self.arguments.stabiliser
            size = size.clamp_min(torch.finfo(size.dtype).tiny)
            moved = (moved + self.arguments.step_size * gradient / size).detach()
        perturbed = model(batch, embedding_output=moved).logits
        return self._one_way(model, perturbed, clean.logits) + self._one_way(model, clean.logits, perturbed)

    def _closeness(self, model: Model, batch: Batch, clean: Tensor) -> Tensor:
        """Move the teacher, then return its weight times l(u, teacher)."""
        self._move_teacher(model)
        with torch.no_grad():  # train mode with other dropout masks, as released
            target = model(batch, parameters=self.teacher).logits
        return self._teacher_weight(model) * self._one_way(model, clean, target)

    def _teacher_weight(self, model: Model) -> float:
        weight, ramp = self.arguments.teacher_weight, self.arguments.ramp
        if not (self.arguments.released and model.regression):
            return weight
        # Meant as a ramp-up, but the weight decreases again after the end of the ramp.
        return weight * min(1.0, math.exp(-5 * (1 - self.batches / ramp) ** 2)) if ramp else weight

    def _one_way(self, model: Model, logits: Tensor, target: Tensor) -> Tensor:
        """Return the consistency loss of ``logits`` with a detached ``target``, mean over the batch."""
        if model.regression:
            return adversary.squared_difference(logits, target.detach())
        if self.arguments.released:
            return adversary.stable_kl(logits, target.detach()).mean()  # over the classes too
        return adversary.kl_to(logits, target)

    def _move_teacher(self, model: Model) -> None:
        """teacher += (1 - decay)(theta - teacher), at the start of a batch; a copy at the first batch."""
        parameters = {name: p.detach() for name, p in model.named_parameters().items()}
        self.batches += 1
        if not self.teacher:
            self.teacher = {name: p.clone() for name, p in parameters.items()}
            return
        args = self.arguments
        decay = args.early_decay if self.batches < args.ramp else args.late_decay
        lerp_all(list(self.teacher.values()), list(parameters.values()), 1 - decay)

    def state(self) -> dict[str, Tensor]:
        """Return the teacher and the number of batches."""
        return {**self.teacher, "batches": torch.tensor(self.batches)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Load the teacher and the number of batches."""
        self.teacher = {name: value for name, value in state.items() if name != "batches"}
        self.batches = int(state["batches"])
