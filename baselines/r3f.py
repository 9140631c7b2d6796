"""R3F: the output must not change under random noise on the word embeddings.

Aghajanyan et al. 2020; order and gradient convention of fairseq's
``examples/rxf/sentence_prediction_r3f``: one draw a batch, on every position, no gradient step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from harness.methods import adversary
from harness.methods.interface import Arguments, Limit, Method, Passes
from harness.methods.search import Choice, Range, space

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.interface import Batch, Model


class R3FArguments(Arguments):
    """Defaults: the released criterion's."""

    noise: Literal["uniform", "normal"] = Field("uniform", description="law of the noise")
    size: float = Field(1e-5, ge=0, description="bound of the uniform noise, or standard deviation")
    weight: float = Field(1.0, ge=0, description="weight of the symmetric divergence; 0 leaves it out")
    kl_gradient: adversary.Convention = Field("both", description="where the divergence's gradient goes")
    # The released code computes the noisy pass of a regression and then leaves its term out of the
    # loss. Here that pass is not computed.
    regression_term: bool = Field(False, description="regression: add the mean squared difference")


class R3F(Method):
    """Task loss + lambda * symmetric KL between clean and noisy logits."""

    name = "r3f"
    summary = "consistency under random noise on the word embeddings"
    citation = (
        "Aghajanyan et al. 2020, Better Fine-Tuning by Reducing Representational Collapse, arXiv 2008.03156"
    )
    Arguments = R3FArguments
    # fairseq's README gives ranges for neither; its settings are 1e-5 and 0.7 to 1.
    search = space(
        noise=Choice(("uniform", "normal")),
        size=Range(1e-6, 1e-1, log=True),
        weight=Range(0.1, 10.0, log=True),
    )
    perturbs_padding = True  # noise is drawn for every position, as released; attention masks it
    limits = (Limit({"weight": 0.0}, "vanilla", {}, 0.0),)
    arguments: R3FArguments

    @classmethod
    def passes(cls, arguments: R3FArguments, regression: bool = False) -> Passes:
        """Clean and noisy pass; the clean one alone where the noisy one enters no loss."""
        passes = 1 if arguments.weight == 0 or (regression and not arguments.regression_term) else 2
        return Passes(forward=passes, backward=passes, optimizer_steps=1)

    @classmethod
    def bound(cls, arguments: R3FArguments) -> tuple[adversary.Norm, float] | None:
        """The size of uniform noise."""
        return ("linf", arguments.size) if arguments.noise == "uniform" else None

    def gradient(self, model: Model, batch: Batch) -> Tensor:
        """Gradient of both terms."""
        clean = model(batch).logits
        loss = model.loss(clean, batch)
        if self.passes(self.arguments, model.regression).forward == 2:
            loss = loss + self.arguments.weight * self._consistency(model, batch, clean)
        model.backward(loss)
        return loss.detach()

    def _consistency(self, model: Model, batch: Batch, clean: Tensor) -> Tensor:
        # The noisy branch starts from constant rows: no gradient reaches the embeddings through it.
        words = model.words(batch).detach()
        draws, size = model.draws, self.arguments.size
        uniform = self.arguments.noise == "uniform"
        noise = size * (2 * draws.uniform(words) - 1) if uniform else size * draws.normal(words)
        noisy = model(batch, words=words + noise).logits
        if model.regression:
            return adversary.squared_difference(clean, noisy)
        return adversary.symmetric_kl(clean, noisy, self.arguments.kl_gradient)
