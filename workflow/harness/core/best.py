"""The weights of the best evaluation so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from harness.core.encoder import Encoder
from harness.core.state import put_weights


class Best:
    """Keeps a copy of the weights whenever a score is beaten; the first one wins a tie."""

    def __init__(self) -> None:
        self.value: float | None = None
        self.step = 0
        self.weights: dict[str, Tensor] = {}

    def offer(self, value: float | None, step: int, encoder: Encoder) -> None:
        """Take the weights if ``value`` is the best one; an undefined score beats nothing but no score."""
        if self.weights and (value is None or (self.value is not None and value <= self.value)):
            return
        self.value, self.step = value, step
        self.weights = {name: p.detach().clone() for name, p in encoder.named_parameters().items()}

    def restore(self, encoder: Encoder) -> int:
        """Put the weights back and return the batch after which they were taken."""
        put_weights(encoder, self.weights)
        return self.step

    def facts(self) -> dict[str, Any]:
        """Return score and batch."""
        return {"value": self.value, "step": self.step}

    def load_state(self, facts: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
        """Take back what ``facts`` and ``weights`` were."""
        self.value, self.step, self.weights = facts["value"], facts["step"], dict(weights)
