"""Training steps that do what the released codes do, written from the specification.

Padded batches, the library's network, torch's default AdamW, and every pass, copy and draw of those codes,
necessary or not. ``parity.py`` compares them with the recorded traces, ``budget.py`` with the recorded cost.
"""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from harness.config.protocol import Protocol
from harness.engine.recorder import Level, Perturbation, Recorder
from harness.methods.interface import Batch, Draws


class FreshDraws:
    """A new tensor for each draw, from torch's global generator."""

    def normal(self, like: Tensor) -> Tensor:
        return torch.randn_like(like)

    def uniform(self, like: Tensor) -> Tensor:
        return torch.rand_like(like)


class Reference(ABC):
    """One released training step; ``arguments`` are our method's."""

    def __init__(
        self, network: Any, arguments: Any, protocol: Protocol, batches: float, draws: Draws
    ) -> None:
        self.network, self.arguments, self.draws = network, arguments, draws
        self.clip = protocol.clip_norm
        self.peak = protocol.learning_rate
        self.optimizer = torch.optim.AdamW(
            parameter_groups(network, protocol),
            lr=protocol.learning_rate,
            betas=protocol.adam_betas,
            eps=protocol.adam_epsilon,
        )
        self.schedule = LambdaLR(self.optimizer, linear(protocol, batches))
        self.regression = network.config.num_labels == 1
        self.recorder: Recorder | None = None
        network.train()

    @property
    def learning_rate(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])

    @abstractmethod
    def step(self, batch: Batch) -> float:
        """Train on one batch; return the loss."""

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that are kept between batches."""
        return {}

    def named_parameters(self) -> dict[str, Tensor]:
        return dict(self.network.named_parameters())

    def logits(self, batch: Batch, words: Tensor | None = None) -> Tensor:
        """Return the logits of the padded batch, [B, C]."""
        inputs = {"input_ids": batch.input_ids} if words is None else {"inputs_embeds": words}
        output = self.network(
            **inputs, attention_mask=batch.attention_mask, token_type_ids=batch.token_type_ids
        )
        logits: Tensor = output.logits
        return logits

    def input_embeddings(self, batch: Batch) -> Tensor:
        rows: Tensor = self.network.get_input_embeddings()(batch.input_ids)
        return rows

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        if self.regression:
            return nn.functional.mse_loss(logits.squeeze(1), batch.labels)
        return nn.functional.cross_entropy(logits, batch.labels)

    def finish(self) -> None:
        """Step, schedule, clear."""
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad()

    def record(self, level: Level, delta: Tensor) -> None:
        """Record a perturbation, for the comparison with a trace."""
        if self.recorder is not None:
            self.recorder.perturbations.append(Perturbation(level, delta.detach()))

    def record_losses(self, losses: list[float]) -> None:
        """Record the losses of the passes, for the comparison with a trace."""
        if self.recorder is not None:
            self.recorder.losses += losses


class VanillaReference(Reference):
    """Forward, backward, step."""

    def step(self, batch: Batch) -> float:
        loss = self.loss(self.logits(batch), batch)
        loss.backward()
        self.record_losses([loss.item()])
        self.finish()
        return loss.item()


class FreeLBReference(Reference):
    """run_glue_freelb.py: K forwards and full backwards, each with a new look-up of the words."""

    def step(self, batch: Batch) -> float:
        args = self.arguments
        delta, losses = self._start(batch), []
        for iterate in range(args.steps):
            delta.requires_grad_()
            self.record("inputs_embeds", delta)
            loss = self.loss(self.logits(batch, self.input_embeddings(batch) + delta), batch)
            (loss / args.steps).backward()
            losses.append(loss.item())
            if iterate < args.steps - 1:
                delta = self._ascend(delta)
        self.record_losses(losses)
        nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
        self.finish()
        return sum(losses) / len(losses)

    def _start(self, batch: Batch) -> Tensor:
        args, words = self.arguments, self.input_embeddings(batch).detach()
        if args.start == 0:
            return torch.zeros_like(words)
        delta = (2 * self.draws.uniform(words) - 1) * batch.attention_mask.unsqueeze(2)
        if args.norm == "linf":
            return delta * args.start
        sizes = batch.attention_mask.sum(1).to(delta.dtype) * words.shape[2]
        return delta * (args.start / sizes.sqrt()).view(-1, 1, 1)

    def _ascend(self, delta: Tensor) -> Tensor:
        args, gradient = self.arguments, delta.grad.clone().detach()
        order = 2 if args.norm == "l2" else float("inf")
        size = gradient.flatten(1).norm(p=order, dim=1).clamp_min(1e-8).view(-1, 1, 1)
        moved = (delta + args.step_size * gradient / size).detach()
        if args.radius == 0:
            return moved
        if args.norm == "linf":
            return moved.clamp(-args.radius, args.radius)
        norm = moved.flatten(1).norm(dim=1)
        exceeds = (norm > args.radius).to(moved.dtype)
        factor = args.radius / norm * exceeds + (1 - exceeds)
        return moved * factor.view(-1, 1, 1)


def parameter_groups(network: nn.Module, protocol: Protocol) -> list[dict[str, Any]]:
    """Return all parameters in one group, or biases and normalisation gains without decay."""
    if protocol.decay_bias_and_norm:
        return [{"params": list(network.parameters()), "weight_decay": protocol.weight_decay}]
    parameters = list(network.parameters())
    exempt = [name.endswith("bias") or "LayerNorm" in name for name, _ in network.named_parameters()]
    return [
        {
            "params": [p for p, e in zip(parameters, exempt, strict=True) if e is without],
            "weight_decay": decay,
        }
        for without, decay in ((False, protocol.weight_decay), (True, 0.0))
    ]


def linear(protocol: Protocol, batches: float) -> Any:
    """Return the factor of the learning rate as a function of the batch."""
    warmup = int(protocol.warmup * batches)

    def factor(batch: int) -> float:
        if batch < warmup:
            return batch / warmup
        if protocol.schedule == "constant":
            return 1.0
        return max(0.0, (batches - batch) / max(1, batches - warmup))

    return factor
