"""Train on word embeddings with a little random noise.

Say here what the method is, where it was published, and whose code it follows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from harness.methods import adversary
from harness.methods.interface import Arguments, Limit, Method, Passes
from harness.methods.search import Range, space

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.interface import Batch, Model


class MineArguments(Arguments):
    """What can be set; every argument has a default, a range and a description."""

    size: float = Field(1e-3, ge=0, description="bound on the noise, per coordinate; 0 is vanilla")


class Mine(Method):
    """The mean task loss under uniform noise on the words of each example."""

    name = "mine"
    summary = "task loss under random noise on the word embeddings"
    citation = "this project"
    Arguments = MineArguments
    # What a search for arguments may vary; the learning rate is searched for every method alike.
    search = space(size=Range(1e-4, 1.0, log=True))
    # With these arguments it equals another method, up to this difference of any weight.
    limits = (Limit({"size": 0.0}, "vanilla", {}, 0.0),)
    arguments: MineArguments

    @classmethod
    def passes(cls, arguments: MineArguments, regression: bool = False) -> Passes:
        """One forward, one backward, one step, as vanilla."""
        # The engine counts the passes of every run, and they must be these.
        return Passes(forward=1, backward=1, optimizer_steps=1)

    @classmethod
    def bound(cls, arguments: MineArguments) -> tuple[adversary.Norm, float] | None:
        """The size; return None where nothing bounds the perturbation."""
        return "linf", arguments.size

    def gradient(self, model: Model, batch: Batch) -> Tensor:
        """Leave the gradient of one batch in the parameters; return the loss, detached."""
        words = model.words(batch)  # [B, L, D], attached: the gradient reaches the embedding rows
        # Random numbers come from the model's stream alone; batch.mask keeps padding as it is.
        noise = self.arguments.size * (2 * model.draws.uniform(words) - 1) * batch.mask.unsqueeze(2)
        # The one place where it differs from vanilla, whose pass is model(batch).
        loss = model.loss(model(batch, words=words + noise).logits, batch)
        model.backward(loss)
        return loss.detach()
