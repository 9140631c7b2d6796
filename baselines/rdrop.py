"""R-Drop: two passes under different dropout masks must agree. The control for small perturbations.

The loss is (CE_1 + CE_2) / 2 + weight * (KL_12 + KL_21) / 2, each a mean over the batch, so that the task
loss has the scale of the other methods. Liang et al. 2021, equation 4, is twice that with alpha = 2 * weight;
the loss in the README of dropreg/R-Drop has alpha = weight, but sums the divergences over the batch. Its code
for GLUE (modeling_roberta.py at 7ab94f4, roberta_kl) sums them as well, with alpha .7 (.8 for a regression,
whose distance is a mean), and has the cross-entropy of the first pass only, halved.
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


class RDropArguments(Arguments):
    """Argument beside dropout."""

    weight: float = Field(1.0, ge=0, description="weight of half the divergence (half the paper's alpha)")


class RDrop(Method):
    """Mean task loss of two passes + weight / 2 * symmetric KL between them."""

    name = "rdrop"
    summary = "two-pass dropout consistency, no adversary"
    citation = "Liang et al. 2021, R-Drop: Regularized Dropout for Neural Networks (NeurIPS)"
    Arguments = RDropArguments
    search_space = space(weight=Range(0.1, 10.0, log=True))
    limiting_cases = (LimitingCase({}, "vanilla", {}, 1e-12),)  # without dropout both passes are the same
    arguments: RDropArguments

    @classmethod
    def passes(cls, arguments: RDropArguments, regression: bool = False) -> PassCount:
        """Two forwards, two backwards."""
        return PassCount(forward=2, backward=2, optimizer_steps=1)

    @classmethod
    def needs_dropout(cls, arguments: RDropArguments) -> bool:
        """The two passes are the same without it."""
        return arguments.weight > 0

    def gradient(self, model: Model, batch: Batch) -> Tensor:
        """Gradient of the losses and the divergence of both passes."""
        one, two = model(batch).logits, model(batch).logits
        distance = (
            adversary.squared_difference(one, two) if model.regression else adversary.symmetric_kl(one, two)
        )
        loss = (model.loss(one, batch) + model.loss(two, batch) + self.arguments.weight * distance) / 2
        model.backward(loss)
        return loss.detach()
