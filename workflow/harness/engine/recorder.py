"""Records of a method at work: the perturbations that it feeds into the encoder, and its task losses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from harness.methods.interface import Perturbs

Level = Literal["inputs_embeds", "embedding_output"]
"""The input of the pass that carries a perturbation."""


@dataclass
class Perturbation:
    """What a perturbed pass added to its input ``level``, [B, L, D]."""

    level: Level
    delta: Tensor


@dataclass
class Recorder:
    """Records of the passes of one or more steps; set it as ``encoder.recorder``."""

    perturbs: Perturbs = "words"
    """What the method declares to perturb (``Method.perturbs``)."""
    perturbations: list[Perturbation] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    clean: Tensor | None = None
    """Embedding output of the last clean pass."""

    def record_words(self, inputs_embeds: Tensor, words: Tensor) -> None:
        """Record a pass with other word embeddings than ``words``, those of the batch."""
        origin = words
        if self.perturbs == "embedded-twice" and self.clean is not None:
            origin = self.clean
        self.perturbations.append(Perturbation("inputs_embeds", (inputs_embeds - origin).detach()))

    def record_embedding_output(self, embedding_output: Tensor) -> None:
        """Record a pass with another embedding output than that of the clean pass before it."""
        assert self.clean is not None
        self.perturbations.append(Perturbation("embedding_output", (embedding_output - self.clean).detach()))
