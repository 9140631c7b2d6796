"""R3F: random noise on the word embeddings must not change the output.

Aghajanyan et al. 2020; order and gradient convention of fairseq's
``examples/rxf/rxf_src/sentence_prediction_r3f.py``: one draw per batch, on every position, no gradient step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from harness.methods import adversary
from harness.methods.interface import Arguments, LimitingCase, Method, PassCount
from harness.methods.search_space import Choice, Range, space

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.interface import Batch, Model


class R3FArguments(Arguments):
    """Defaults: the released criterion's."""

    noise: Literal["uniform", "normal"] = Field("uniform", description="distribution of the noise")
    size: float = Field(1e-5, ge=0, description="bound of uniform noise, standard deviation of normal noise")
    weight: float = Field(1.0, ge=0, description="weight of the symmetric divergence; 0 leaves it out")
    kl_gradient: adversary.Convention = Field(
        "both", description="logits that the gradient of the divergence reaches"
    )
    # For a regression, the released code computes the noisy pass but does not add its term to the loss.
    # Here that pass is not computed.
    regression_term: bool = Field(False, description="regression: add the mean squared difference")


class R3F(Method):
    """Task loss + lambda * symmetric KL between clean and noisy logits."""

    name = "r3f"
    summary = "consistency under random noise on the word embeddings"
    citation = (
        "Aghajanyan et al. 2020, Better Fine-Tuning by Reducing Representational Collapse, arXiv 2008.03156"
    )
    Arguments = R3FArguments
    # fairseq's README has no ranges; its values are 1e-5 and 0.7 to 1.
    search_space = space(
        noise=Choice(("uniform", "normal")),
        size=Range(1e-6, 1e-1, log=True),
        weight=Range(0.1, 10.0, log=True),
    )
    perturbs_padding = True  # noise has values on padding, as released; attention masks them
    limiting_cases = (LimitingCase({"weight": 0.0}, "vanilla", {}, 0.0),)
    arguments: R3FArguments

    @classmethod
    def passes(cls, arguments: R3FArguments, regression: bool = False) -> PassCount:
        """Clean and noisy pass; only the clean one if the noisy one is in no loss."""
        passes = 1 if arguments.weight == 0 or (regression and not arguments.regression_term) else 2
        return PassCount(forward=passes, backward=passes, optimizer_steps=1)

    @classmethod
    def norm_bound(cls, arguments: R3FArguments) -> tuple[adversary.Norm, float] | None:
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
        # The noisy pass starts from detached words: no gradient reaches the embeddings through it.
        words = model.input_embeddings(batch).detach()
        draws, size = model.draws, self.arguments.size
        uniform = self.arguments.noise == "uniform"
        noise = size * (2 * draws.uniform(words) - 1) if uniform else size * draws.normal(words)
        noisy = model(batch, inputs_embeds=words + noise).logits
        if model.regression:
            return adversary.squared_difference(clean, noisy)
        return adversary.symmetric_kl(clean, noisy, self.arguments.kl_gradient)
