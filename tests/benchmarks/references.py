"""Training steps that do what the released codes do, written from the specification.

Plain padded batches through a plain network, torch's default AdamW, and every pass, copy and draw that
those codes spend, needed or not. Held to the recorded traces by `parity.py`, to their cost by `budget.py`.
"""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from harness.core.watch import Perturbation, Watch
from harness.methods.interface import Batch, Draws
from harness.plan.protocol import Protocol


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
        self.watch: Watch | None = None
        network.train()

    @property
    def learning_rate(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])

    @abstractmethod
    def step(self, batch: Batch) -> float:
        """Train on one batch; return the loss."""

    def state(self) -> dict[str, Tensor]:
        """Return what must survive between batches."""
        return {}

    def named_parameters(self) -> dict[str, Tensor]:
        return dict(self.network.named_parameters())

    def logits(self, batch: Batch, words: Tensor | None = None) -> Tensor:
        """Forward of the padded batch, [B, C]."""
        fed = {"input_ids": batch.ids} if words is None else {"inputs_embeds": words}
        output = self.network(**fed, attention_mask=batch.mask, token_type_ids=batch.types)
        logits: Tensor = output.logits
        return logits

    def words(self, batch: Batch) -> Tensor:
        rows: Tensor = self.network.get_input_embeddings()(batch.ids)
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

    def note(self, level: Any, delta: Tensor) -> None:
        """Keep a perturbation, for the comparison with a trace alone."""
        if self.watch is not None:
            self.watch.perturbations.append(Perturbation(level, delta.detach()))

    def note_losses(self, losses: list[float]) -> None:
        """Keep the passes' losses, for the comparison with a trace alone."""
        if self.watch is not None:
            self.watch.losses += losses


class VanillaReference(Reference):
    """Forward, backward, step."""

    def step(self, batch: Batch) -> float:
        loss = self.loss(self.logits(batch), batch)
        loss.backward()
        self.note_losses([loss.item()])
        self.finish()
        return loss.item()


class FreeLBReference(Reference):
    """run_glue_freelb.py: K forwards and full backwards, words looked up anew in each."""

    def step(self, batch: Batch) -> float:
        chosen = self.arguments
        delta, losses = self._start(batch), []
        for iterate in range(chosen.steps):
            delta.requires_grad_()
            self.note("words", delta)
            loss = self.loss(self.logits(batch, self.words(batch) + delta), batch)
            (loss / chosen.steps).backward()
            losses.append(loss.item())
            if iterate < chosen.steps - 1:
                delta = self._ascend(delta)
        self.note_losses(losses)
        nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
        self.finish()
        return sum(losses) / len(losses)

    def _start(self, batch: Batch) -> Tensor:
        chosen, words = self.arguments, self.words(batch).detach()
        if chosen.start == 0:
            return torch.zeros_like(words)
        delta = (2 * self.draws.uniform(words) - 1) * batch.mask.unsqueeze(2)
        if chosen.norm == "linf":
            return delta * chosen.start
        sizes = batch.mask.sum(1).to(delta.dtype) * words.shape[2]
        return delta * (chosen.start / sizes.sqrt()).view(-1, 1, 1)

    def _ascend(self, delta: Tensor) -> Tensor:
        chosen, gradient = self.arguments, delta.grad.clone().detach()
        order = 2 if chosen.norm == "l2" else float("inf")
        size = gradient.flatten(1).norm(p=order, dim=1).clamp_min(1e-8).view(-1, 1, 1)
        moved = (delta + chosen.step_size * gradient / size).detach()
        if chosen.radius == 0:
            return moved
        if chosen.norm == "linf":
            return moved.clamp(-chosen.radius, chosen.radius)
        reached = moved.flatten(1).norm(dim=1)
        exceeds = (reached > chosen.radius).to(moved.dtype)
        factor = chosen.radius / reached * exceeds + (1 - exceeds)
        return moved * factor.view(-1, 1, 1)


def parameter_groups(network: nn.Module, protocol: Protocol) -> list[dict[str, Any]]:
    """Return all parameters in one group, or biases and normalisation gains without decay."""
    if protocol.decay_bias_and_norm:
        return [{"params": list(network.parameters()), "weight_decay": protocol.weight_decay}]
    spared = [name.endswith("bias") or "LayerNorm" in name for name, _ in network.named_parameters()]
    parameters = list(network.parameters())
    return [
        {"params": [p for p, s in zip(parameters, spared, strict=True) if s is apart], "weight_decay": decay}
        for apart, decay in ((False, protocol.weight_decay), (True, 0.0))
    ]


def linear(protocol: Protocol, batches: float) -> Any:
    """Return the schedule's factor as a function of the batch."""
    warmup = int(protocol.warmup * batches)

    def factor(batch: int) -> float:
        if batch < warmup:
            return batch / warmup
        if protocol.schedule == "constant":
            return 1.0
        return max(0.0, (batches - batch) / max(1, batches - warmup))

    return factor
