"""MAT as in MAT.py, including unnecessary work and aliased tensors."""

import math

from torch import Tensor, nn

from benchmarks.references import Reference
from harness.methods.interface import Batch


class MatReference(Reference):
    """1 + K_delta + 2 K_theta forwards, all but the first one with a full backward pass."""

    def step(self, batch: Batch) -> float:
        args = self.arguments
        # Both are views of the parameters, so the first AdamW step moves them, too.
        before = self.network.state_dict()
        mean = self.network.state_dict()
        mean_delta = self._sample_delta(batch)
        losses = []
        for _ in range(args.steps_theta):
            self.optimizer.zero_grad()
            clean = self.logits(batch)
            perturbed = self.logits(batch, self.input_embeddings(batch) + mean_delta)
            self.record("inputs_embeds", mean_delta)
            loss = self.loss(clean, batch) + args.weight * self._consistency(clean, perturbed)
            loss.backward()
            self.optimizer.step()
            size = math.sqrt(2 * self.learning_rate) * (self.peak * args.noise_ratio)
            for name, parameter in self.network.named_parameters():
                parameter.data = parameter.data + size * self.draws.normal(parameter.data)
                mean[name] = args.beta_s * mean[name] + (1 - args.beta_s) * parameter.data
            losses.append(loss.item())
        self.schedule.step()
        merged = {name: args.beta_p * before[name] + (1 - args.beta_p) * mean[name] for name in before}
        self.network.load_state_dict(merged)
        return sum(losses) / len(losses)

    def _sample_delta(self, batch: Batch) -> Tensor:
        args = self.arguments
        clean = self.logits(batch)
        words = self.input_embeddings(batch)
        delta = args.start_size * self.draws.normal(words.detach())
        mean = delta.clone()
        size = math.sqrt(2 * args.step_size) * (args.step_size * args.noise_ratio)
        for _ in range(args.steps_delta):
            delta.requires_grad_()
            self.record("inputs_embeds", delta)
            loss = self._consistency(clean.detach(), self.logits(batch, self.input_embeddings(batch) + delta))
            loss.backward()
            gradient = delta.grad.detach()
            largest = gradient.flatten(1).abs().amax(1).clamp_min(1e-8).view(-1, 1, 1)
            delta = _shrunk(delta.detach() + args.step_size * gradient / largest, args.radius)
            delta = delta + size * self.draws.normal(delta)
            mean = args.beta_s * mean + (1 - args.beta_s) * delta
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
