"""SMART as MT-DNN and smart-pytorch have it: no teacher, and noise plus gradient normalised together.

namisan/mt-dnn ``mt_dnn/perturbation.py`` and archinetai/smart-pytorch. After normalisation every token's
largest coordinate is about 1, whatever ``stabiliser`` says (its released name, epsilon, promises a
radius), and nearly all of it is the random draw: the paper normalises the gradient alone
(mt-dnn issue 214).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from harness.methods import adversary
from harness.methods.interface import Arguments, Limit, Method, Passes
from harness.methods.search import Range, space

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.interface import Batch, Model, Pass


class SmartMtdnnArguments(Arguments):
    """Defaults: mt-dnn's ``train.py``."""

    steps: int = Field(1, ge=1, description="ascent steps")
    step_size: float = Field(1e-5, gt=0, description="weight of the gradient against the noise")
    noise: float = Field(1e-5, gt=0, description="standard deviation of the random start")
    stabiliser: float = Field(1e-6, gt=0, description="added to a token's norm before dividing by it")
    weight: float = Field(1.0, ge=0, description="weight of the smoothness term; 0 leaves it out")
    # mt-dnn feeds finished embeddings as word embeddings: positions, LayerNorm and dropout are
    # applied a second time (mt-dnn issue 230).
    level: Literal["words", "embedded", "embedded-twice"] = Field(
        "embedded-twice", description="what is perturbed, and where it is fed"
    )
    inner: Literal["stable", "kl"] = Field("stable", description="classification: loss of the ascent")
    reduction: Literal["mean", "sum"] = Field(
        "mean", description="classification: reduction of the smoothness term"
    )
    # mt-dnn compares a [B] with a [B, 1] vector: the squares of all pairs of examples.
    all_pairs: bool = Field(True, description="regression: squares over all pairs, as mt-dnn, or per example")


class SmartMtdnn(Method):
    """Task loss + smoothness, the perturbation normalised as a whole."""

    name = "smart-mtdnn"
    summary = "SMART's smoothness term as mt-dnn and smart-pytorch compute it"
    citation = "Jiang et al. 2020, SMART (ACL), arXiv 1911.03437; namisan/mt-dnn"
    Arguments = SmartMtdnnArguments
    search = space(
        steps=Range(1, 3),
        step_size=Range(1e-6, 1e-1, log=True),
        noise=Range(1e-6, 1e-3, log=True),
        weight=Range(1e-2, 10.0, log=True),
    )
    perturbs_padding = True  # noise is drawn for every position, as released; attention masks it
    couples_examples = True  # a regression's squares over all pairs
    limits = (Limit({"weight": 0.0}, "vanilla", {}, 0.0),)
    arguments: SmartMtdnnArguments

    @classmethod
    def passes(cls, arguments: SmartMtdnnArguments, regression: bool = False) -> Passes:
        """Clean pass, K ascent passes, one more for the smoothness."""
        if arguments.weight == 0:
            return Passes(forward=1, backward=1, optimizer_steps=1)
        return Passes(
            forward=arguments.steps + 2, backward=2, input_backward=arguments.steps, optimizer_steps=1
        )

    def gradient(self, model: Model, batch: Batch) -> Tensor:
        """Gradient of task loss and smoothness; the embeddings are attached in both branches."""
        clean = model(batch)
        loss = model.loss(clean.logits, batch)
        if self.arguments.weight > 0:
            origin = model.words(batch) if self.arguments.level == "words" else clean.embedded
            delta = self._perturbation(model, batch, origin.detach(), clean.logits.detach())
            perturbed = self._pass(model, batch, origin + delta).logits
            loss = loss + self.arguments.weight * self._smoothness(model, clean.logits, perturbed)
        model.backward(loss)
        return loss.detach()

    def _perturbation(self, model: Model, batch: Batch, origin: Tensor, clean: Tensor) -> Tensor:
        chosen = self.arguments
        delta = chosen.noise * model.draws.normal(origin)
        for _ in range(chosen.steps):
            delta.requires_grad_()
            ascent = self._inner(model, self._pass(model, batch, origin + delta).logits, clean)
            sum_ = delta.detach() + chosen.step_size * model.input_gradient(ascent, delta)
            delta = sum_ / (adversary.token_norm(sum_) + chosen.stabiliser)
        return delta

    def _pass(self, model: Model, batch: Batch, values: Tensor) -> Pass:
        if self.arguments.level == "embedded":
            return model(batch, embedded=values)
        return model(batch, words=values)

    def _inner(self, model: Model, logits: Tensor, clean: Tensor) -> Tensor:
        if model.regression:
            return adversary.squared_difference(logits, clean, "sum")
        if self.arguments.inner == "stable":
            return adversary.stable_kl(logits, clean).sum()
        return adversary.kl_from(clean, logits)

    def _smoothness(self, model: Model, clean: Tensor, perturbed: Tensor) -> Tensor:
        if model.regression:
            if self.arguments.all_pairs:
                return (clean - perturbed.T).square().mean()
            return adversary.squared_difference(clean, perturbed)
        both = adversary.kl_from(clean, perturbed) + adversary.kl_from(perturbed, clean)
        return both * (len(clean) if self.arguments.reduction == "sum" else 1)
