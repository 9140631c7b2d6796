"""Train on word embeddings with a little random noise.

State here what the method does, where it was published, and which code it follows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from harness.methods import adversary
from harness.methods.interface import Arguments, LimitingCase, Method, PassCount
from harness.methods.search_space import Range, space

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.interface import Batch, Model


class MineArguments(Arguments):
    """Every argument has a default, a range and a description."""

    size: float = Field(1e-3, ge=0, description="bound on the noise, per coordinate; 0 is vanilla")


class Mine(Method):
    """The mean task loss under uniform noise on the words of each example."""

    name = "mine"
    summary = "task loss under random noise on the word embeddings"
    citation = "this project"
    Arguments = MineArguments
    # What a search may vary; the learning rate is searched for every method.
    search_space = space(size=Range(1e-4, 1.0, log=True))
    # With these arguments it equals another method, up to this difference of a parameter.
    limiting_cases = (LimitingCase({"size": 0.0}, "vanilla", {}, 0.0),)
    arguments: MineArguments

    @classmethod
    def passes(cls, arguments: MineArguments, regression: bool = False) -> PassCount:
        """One forward, one backward, one step, as vanilla."""
        # The engine counts the passes of every run, and the counts must be equal to these.
        return PassCount(forward=1, backward=1, optimizer_steps=1)

    @classmethod
    def norm_bound(cls, arguments: MineArguments) -> tuple[adversary.Norm, float] | None:
        """The size; return None if the perturbation is not bounded."""
        return "linf", arguments.size

    def gradient(self, model: Model, batch: Batch) -> Tensor:
        """Leave the gradient of one batch in the parameters; return the loss, detached."""
        words = model.input_embeddings(batch)  # [B, L, D], attached: the gradient reaches the embedding rows
        # Random numbers come only from model.draws; batch.attention_mask excludes padding.
        noise = self.arguments.size * (2 * model.draws.uniform(words) - 1) * batch.attention_mask.unsqueeze(2)
        # The only difference from vanilla, whose pass is model(batch).
        loss = model.loss(model(batch, inputs_embeds=words + noise).logits, batch)
        model.backward(loss)
        return loss.detach()
