"""Watching a method at work: what it feeds into the encoder, and the task losses that it sees."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

Level = Literal["words", "embedded"]


@dataclass
class Perturbation:
    """What a perturbed pass added, [B, L, D], and where."""

    level: Level
    delta: Tensor


@dataclass
class Watch:
    """Notes of the passes of one or more steps; set it as ``encoder.watch``."""

    twice: bool = False
    """Whether finished embeddings are fed as words (mt-dnn): they are the perturbation's origin then."""
    perturbations: list[Perturbation] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    clean: Tensor | None = None
    """Finished embedding output of the last clean pass."""

    def note_words(self, words: Tensor, rows: Tensor) -> None:
        """Note a pass with other word embeddings."""
        origin = self.clean if self.twice and self.clean is not None else rows
        self.perturbations.append(Perturbation("words", (words - origin).detach()))

    def note_embedded(self, embedded: Tensor) -> None:
        """Note a pass with another embedding output; the clean one went before it."""
        assert self.clean is not None
        self.perturbations.append(Perturbation("embedded", (embedded - self.clean).detach()))
