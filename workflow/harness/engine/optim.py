"""The optimizer as methods see it (clip, step, clear) and the learning-rate schedule."""

from collections import defaultdict
from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from harness.config.protocol import Protocol
from harness.engine.encoder import Meter
from harness.engine.loss_scale import LossScale


class ScheduledOptimizer:
    """AdamW with a linear or constant schedule; the loop takes one schedule step per batch."""

    def __init__(
        self,
        network: nn.Module,
        protocol: Protocol,
        batches: float,
        meter: Meter,
        loss_scale: LossScale | None = None,
    ) -> None:
        self.parameters = list(network.parameters())
        self.peak_learning_rate = protocol.learning_rate
        self._clip = protocol.clip_norm
        self._meter = meter
        self._scaler = loss_scale.scaler if loss_scale else None
        self._adamw = torch.optim.AdamW(
            _groups(network, protocol),
            lr=protocol.learning_rate,
            betas=protocol.adam_betas,
            eps=protocol.adam_epsilon,
            fused=True,
        )
        self._batches = batches
        # A number of batches may be a fraction: a method with several updates per batch warms up by updates.
        self._warmup = int(protocol.warmup * batches) if protocol.warmup < 1 else protocol.warmup
        self._constant = protocol.schedule == "constant"
        self._batch = 0
        self.within_batch(0.0)

    @property
    def learning_rate(self) -> float:
        """The learning rate of the schedule for this batch."""
        return cast(float, self._adamw.param_groups[0]["lr"])

    def step(self) -> None:
        """Clip the gradient's global norm, take one AdamW step, clear the gradients.

        With loss scaling, a step whose gradients overflow is left out, and the scale is lowered.
        """
        if self._scaler is not None:
            self._scaler.unscale_(self._adamw)
        if self._clip > 0:
            nn.utils.clip_grad_norm_(self.parameters, self._clip)
        if self._scaler is not None and self._overflows(self._scaler):
            self._meter.skipped_steps += 1
        else:
            if self._scaler is None:
                self._adamw.step()
            self._meter.optimizer_steps += 1
        self._adamw.zero_grad(set_to_none=True)

    def _overflows(self, scaler: torch.amp.GradScaler) -> bool:
        """Let the scaler take the step and set its scale; return whether it left the step out instead."""
        scale = scaler.get_scale()
        scaler.step(self._adamw)
        scaler.update()
        return scaler.get_scale() < scale

    @property
    def can_scale_down(self) -> bool:
        """Whether a smaller loss scale may prevent an overflow: below 1 it is the loss that is not finite."""
        return self._scaler is not None and self._scaler.get_scale() >= 1.0

    def within_batch(self, share: float) -> None:
        """Move the schedule to a share of this batch, for methods with several steps per batch."""
        for group in self._adamw.param_groups:
            group["lr"] = self.peak_learning_rate * self._scale(self._batch + share)

    def next_batch(self) -> None:
        """Move the schedule on to the next batch."""
        self._batch += 1
        self.within_batch(0.0)

    def state(self) -> dict[str, Tensor]:
        """Return the moments, as ``<number of the parameter>.<moment>``, and the position, ``batch``."""
        moments = {
            f"{number}.{name}": value
            for number, entry in self._adamw.state_dict()["state"].items()
            for name, value in entry.items()
        }
        state = {**moments, "batch": torch.tensor(self._batch)}
        if self._scaler is not None:
            scaler = self._scaler.state_dict()
            state["scale"] = torch.tensor([scaler["scale"], scaler["_growth_tracker"]], dtype=torch.float64)
        return state

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Load what ``state`` returned."""
        moments: dict[int, dict[str, Tensor]] = defaultdict(dict)
        for key, value in state.items():
            number, _, name = key.partition(".")
            if name:
                moments[int(number)][name] = value
        groups = self._adamw.state_dict()["param_groups"]
        self._adamw.load_state_dict({"state": dict(moments), "param_groups": groups})
        if self._scaler is not None:
            scale, tracker = state["scale"].tolist()
            changed = {"scale": scale, "_growth_tracker": int(tracker)}
            self._scaler.load_state_dict({**self._scaler.state_dict(), **changed})
        self._batch = int(state["batch"])
        self.within_batch(0.0)

    def _scale(self, position: float) -> float:
        """Return the share of the peak rate at a position counted in batches."""
        if position < self._warmup:
            return position / self._warmup
        if self._constant:
            return 1.0
        return max(0.0, (self._batches - position) / max(1, self._batches - self._warmup))


def _groups(network: nn.Module, protocol: Protocol) -> list[dict[str, object]]:
    """Return the parameter groups; biases and normalisation gains are separate if they do not decay."""
    if protocol.decay_bias_and_norm:
        return [{"params": list(network.parameters()), "weight_decay": protocol.weight_decay}]
    # Among the parameters of an encoder, exactly biases and gains are vectors.
    matrices = [p for p in network.parameters() if p.ndim > 1]
    vectors = [p for p in network.parameters() if p.ndim <= 1]
    return [
        {"params": matrices, "weight_decay": protocol.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
