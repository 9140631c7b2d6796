"""SMART as in the first author's code, sentence_prediction_mtvat.py, with the teacher."""

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.references import Reference
from harness.methods.interface import Batch

NOISE = 1e-5


class SmartReference(Reference):
    """Clean, ascent, perturbed and teacher pass; summed task loss, gradient divided by the batch size."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.teacher: Any = None
        self.batches = 0

    def step(self, batch: Batch) -> float:
        args, size = self.arguments, len(batch.labels)
        embedded = self._embedded(batch)
        clean = self._from(self.network, batch, embedded)
        total = self.loss(clean, batch) * size
        constant = embedded.detach()
        moved = constant + NOISE * self.draws.normal(constant)
        moved.requires_grad_()
        self.record("embedding_output", moved - constant)
        ascent = self._distance(self._from(self.network, batch, moved), clean.detach())
        (gradient,) = torch.autograd.grad(ascent, moved)
        largest = gradient.abs().amax(dim=2, keepdim=True) + args.stabiliser
        moved = (moved + args.step_size * gradient / largest).detach()
        self.record("embedding_output", moved - constant)
        perturbed = self._from(self.network, batch, moved)
        total = total + args.weight * self._distance(perturbed, clean.detach())
        total = total + args.weight * self._distance(clean, perturbed.detach())
        if args.teacher_weight > 0:
            total = total + self._closeness(batch, clean)
        total.backward()
        for parameter in self.network.parameters():
            parameter.grad.div_(size)
        self.finish()
        return total.item() / size

    def _closeness(self, batch: Batch, clean: Tensor) -> Tensor:
        self._move_teacher()
        with torch.no_grad():
            output = self.teacher(
                input_ids=batch.input_ids,
                attention_mask=batch.attention_mask,
                token_type_ids=batch.token_type_ids,
            )
        weight, ramp = self.arguments.teacher_weight, self.arguments.ramp
        if self.regression and ramp:
            weight *= min(1.0, math.exp(-5 * (1 - self.batches / ramp) ** 2))
        distance: Tensor = self._distance(clean, output.logits)
        return weight * distance

    def _move_teacher(self) -> None:
        self.batches += 1
        if self.teacher is None:
            self.teacher = copy.deepcopy(self.network)
            return
        args = self.arguments
        decay = args.early_decay if self.batches < args.ramp else args.late_decay
        pairs = zip(self.teacher.parameters(), self.network.parameters(), strict=True)
        for theirs, ours in pairs:
            theirs.data.add_((1 - decay) * (ours.data - theirs.data))

    def state(self) -> dict[str, Tensor]:
        return {} if self.teacher is None else dict(self.teacher.named_parameters())

    def _embedded(self, batch: Batch) -> Tensor:
        output: Tensor = self.network.base_model.embeddings(
            input_ids=batch.input_ids, token_type_ids=batch.token_type_ids
        )
        return output

    def _from(self, network: Any, batch: Batch, embedded: Tensor) -> Tensor:
        """Return the logits of a pass from the embedding output on."""
        layer: nn.Module = network.base_model.embeddings
        layer.forward = lambda **_: embedded
        try:
            return self.logits(batch)
        finally:
            del layer.forward

    def _distance(self, logits: Tensor, target: Tensor) -> Tensor:
        if self.regression:
            return nn.functional.mse_loss(logits, target)
        p, q = logits.softmax(-1), target.softmax(-1)
        return (p * (_logit(p) - _logit(q)) * 2).mean()


def _logit(p: Tensor) -> Tensor:
    """Return the logit of a probability as in that code, detached."""
    return -(1 / (p.detach() + 1e-6) - 1 + 1e-6).log()
