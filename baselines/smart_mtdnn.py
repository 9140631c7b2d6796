"""SMART as in MT-DNN and smart-pytorch: no teacher, and the sum of noise and gradient is normalised.

namisan/mt-dnn ``mt_dnn/perturbation.py`` and archinetai/smart-pytorch. After normalisation, the largest
coordinate of every token is about 1 for any ``stabiliser`` (its released name is epsilon, as if it were a
radius), and nearly all of it is the random draw. The paper normalises only the gradient (mt-dnn issue 214).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from harness.methods import adversary
from harness.methods.interface import Arguments, LimitingCase, Method, PassCount
from harness.methods.search_space import Range, space

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.interface import Batch, Model, Pass, Perturbs


class SmartMtdnnArguments(Arguments):
    """Defaults: mt-dnn's ``train.py``."""

    steps: int = Field(1, ge=1, description="ascent steps")
    step_size: float = Field(1e-5, gt=0, description="weight of the gradient relative to the noise")
    noise: float = Field(1e-5, gt=0, description="standard deviation of the random start")
    stabiliser: float = Field(1e-6, gt=0, description="added to the norm of a token before the division")
    weight: float = Field(1.0, ge=0, description="weight of the smoothness term; 0 leaves it out")
    # mt-dnn feeds the embedding output as word embeddings: positions, LayerNorm and dropout are applied a
    # second time (mt-dnn issue 230).
    level: Literal["words", "embedded", "embedded-twice"] = Field(
        "embedded-twice", description="what is perturbed, and where it is fed"
    )
    inner: Literal["stable", "kl"] = Field("stable", description="classification: loss of the ascent")
    reduction: Literal["mean", "sum"] = Field(
        "mean", description="classification: reduction of the smoothness term"
    )
    # mt-dnn subtracts a [B, 1] from a [B] vector: squares over all pairs of examples.
    all_pairs: bool = Field(True, description="regression: squares over all pairs, as mt-dnn, or per example")


class SmartMtdnn(Method):
    """Task loss + smoothness; noise and gradient are normalised together."""

    name = "smart-mtdnn"
    summary = "SMART's smoothness term as mt-dnn and smart-pytorch compute it"
    citation = "Jiang et al. 2020, SMART (ACL), arXiv 1911.03437; namisan/mt-dnn"
    Arguments = SmartMtdnnArguments
    search_space = space(
        steps=Range(1, 3),
        step_size=Range(1e-6, 1e-1, log=True),
        noise=Range(1e-6, 1e-3, log=True),
        weight=Range(1e-2, 10.0, log=True),
    )
    perturbs_padding = True  # noise has values on padding, as released; attention masks them
    limiting_cases = (LimitingCase({"weight": 0.0}, "vanilla", {}, 0.0),)
    arguments: SmartMtdnnArguments

    @classmethod
    def passes(cls, arguments: SmartMtdnnArguments, regression: bool = False) -> PassCount:
        """Clean pass, K ascent passes, one more for the smoothness."""
        if arguments.weight == 0:
            return PassCount(forward=1, backward=1, optimizer_steps=1)
        return PassCount(
            forward=arguments.steps + 2, backward=2, input_backward=arguments.steps, optimizer_steps=1
        )

    @classmethod
    def perturbs(cls, arguments: SmartMtdnnArguments) -> Perturbs:
        """The level."""
        return arguments.level

    def gradient(self, model: Model, batch: Batch) -> Tensor:
        """Gradient of task loss and smoothness; the embeddings are attached in both passes."""
        clean = model(batch)
        loss = model.loss(clean.logits, batch)
        if self.arguments.weight > 0:
            words = self.arguments.level == "words"
            origin = model.input_embeddings(batch) if words else clean.embedding_output
            delta = self._perturbation(model, batch, origin.detach(), clean.logits.detach())
            perturbed = self._pass(model, batch, origin + delta).logits
            loss = loss + self.arguments.weight * self._smoothness(model, clean.logits, perturbed)
        model.backward(loss)
        return loss.detach()

    def _perturbation(self, model: Model, batch: Batch, origin: Tensor, clean: Tensor) -> Tensor:
        args = self.arguments
        delta = args.noise * model.draws.normal(origin)
        for _ in range(args.steps):
            delta.requires_grad_()
            ascent = self._inner(model, self._pass(model, batch, origin + delta).logits, clean)
            moved = delta.detach() + args.step_size * model.input_gradient(ascent, delta)
            delta = moved / (adversary.token_norm(moved) + args.stabiliser)
        return delta

    def _pass(self, model: Model, batch: Batch, values: Tensor) -> Pass:
        if self.arguments.level == "embedded":
            return model(batch, embedding_output=values)
        return model(batch, inputs_embeds=values)

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
