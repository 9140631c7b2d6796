"""Watching a method at work: the perturbations that it feeds, and draws that can be permuted."""

from typing import Any

import torch
from torch import Tensor

from harness.core.encoder import Encoder
from harness.methods.interface import Batch, Pass


class Watched(Encoder):
    """An encoder that remembers the perturbation of every perturbed pass, and all task losses."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.losses: list[float] = []
        self.deltas: list[Tensor] = []
        """Perturbations [B, L, D], of the word embeddings or of the finished embedding output."""
        self.twice = False
        """Whether finished embeddings are fed as words (mt-dnn): they are the perturbation's origin then."""
        self._clean: Tensor | None = None

    def __call__(self, batch: Batch, **given: Any) -> Pass:
        """Run the pass and remember."""
        words, embedded = given.get("words"), given.get("embedded")
        if words is not None:
            origin = self._clean if self.twice else super().words(batch)
            self.deltas.append((words - origin).detach())
        elif embedded is not None:
            self.deltas.append((embedded - self._clean).detach())
        result = super().__call__(batch, **given)
        if words is None and embedded is None and given.get("parameters") is None:
            self._clean = result.embedded.detach()
        return result

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the task loss and remember it."""
        value = super().loss(logits, batch)
        self.losses.append(float(value.detach()))
        return value


class PermutedDraws:
    """Draws of a seed whose examples are reordered as the batch is."""

    def __init__(self, seed: int, order: Tensor) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.order = order

    def normal(self, like: Tensor) -> Tensor:
        """Return normal numbers, those of an example following it."""
        return self._permuted(torch.empty_like(like, requires_grad=False).normal_(generator=self.generator))

    def uniform(self, like: Tensor) -> Tensor:
        """Return uniform numbers, those of an example following it."""
        return self._permuted(torch.empty_like(like, requires_grad=False).uniform_(generator=self.generator))

    def _permuted(self, draw: Tensor) -> Tensor:
        per_example = draw.ndim == 3 and len(draw) == len(self.order)
        return draw[self.order] if per_example else draw
