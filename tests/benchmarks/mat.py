"""MAT as MAT.py has it, its waste and its aliases included."""

import math

from torch import Tensor, nn

from benchmarks.references import Reference
from harness.methods.interface import Batch


class MatReference(Reference):
    """1 + K_delta + 2 K_theta forwards, each of the loops' with a full backward."""

    def step(self, batch: Batch) -> float:
        chosen = self.arguments
        # Both are views of the live tensors: the first AdamW step, in place, moves them too.
        before = self.network.state_dict()
        mean = self.network.state_dict()
        mean_delta = self._sample_delta(batch)
        losses = []
        for _ in range(chosen.steps_theta):
            self.optimizer.zero_grad()
            clean = self.logits(batch)
            perturbed = self.logits(batch, self.words(batch) + mean_delta)
            self.note("words", mean_delta)
            loss = self.loss(clean, batch) + chosen.weight * self._consistency(clean, perturbed)
            loss.backward()
            self.optimizer.step()
            size = math.sqrt(2 * self.learning_rate) * (self.peak * chosen.noise_ratio)
            for name, parameter in self.network.named_parameters():
                parameter.data = parameter.data + size * self.draws.normal(parameter.data)
                mean[name] = chosen.beta_s * mean[name] + (1 - chosen.beta_s) * parameter.data
            losses.append(loss.item())
        self.schedule.step()
        merged = {name: chosen.beta_p * before[name] + (1 - chosen.beta_p) * mean[name] for name in before}
        self.network.load_state_dict(merged)
        return sum(losses) / len(losses)

    def _sample_delta(self, batch: Batch) -> Tensor:
        chosen = self.arguments
        clean = self.logits(batch)
        words = self.words(batch)
        delta = chosen.start_size * self.draws.normal(words.detach())
        mean = delta.clone()
        size = math.sqrt(2 * chosen.step_size) * (chosen.step_size * chosen.noise_ratio)
        for _ in range(chosen.steps_delta):
            delta.requires_grad_()
            self.note("words", delta)
            loss = self._consistency(clean.detach(), self.logits(batch, self.words(batch) + delta))
            loss.backward()
            gradient = delta.grad.detach()
            largest = gradient.flatten(1).abs().amax(1).clamp_min(1e-8).view(-1, 1, 1)
            delta = _shrunk(delta.detach() + chosen.step_size * gradient / largest, chosen.radius)
            delta = delta + size * self.draws.normal(delta)
            mean = chosen.beta_s * mean + (1 - chosen.beta_s) * delta
        return mean

    def _consistency(self, u: Tensor, v: Tensor) -> Tensor:
        if self.regression:
            return nn.functional.mse_loss(u, v, reduction="sum")
        p, q = u.softmax(-1), v.softmax(-1)
        one = nn.functional.kl_div(p.log(), q, reduction="batchmean")
        other = nn.functional.kl_div(q.log(), p, reduction="batchmean")
        return one + other


def _shrunk(delta: Tensor, radius: float) -> Tensor:
    """Rescale the examples whose largest coordinate exceeds the radius to it."""
    largest = delta.flatten(1).abs().amax(1)
    exceeds = (largest > radius).to(delta.dtype)
    return delta * (radius / largest * exceeds + (1 - exceeds)).view(-1, 1, 1)
