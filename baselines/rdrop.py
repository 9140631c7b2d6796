"""R-Drop: two passes under different dropout masks must agree. The control for small perturbations.

Liang et al. 2021, halved so that the task loss has the same scale as in the other methods.
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

    weight: float = Field(1.0, ge=0, description="weight of half the symmetric divergence (alpha)")


class RDrop(Method):
    """Mean task loss of two passes + alpha / 2 * symmetric KL between them."""

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

    def gradient(self, model: Model, batch: Batch) -> Tensor:
        """Gradient of the losses and the divergence of both passes."""
        one, two = model(batch).logits, model(batch).logits
        distance = (
            adversary.squared_difference(one, two) if model.regression else adversary.symmetric_kl(one, two)
        )
        loss = (model.loss(one, batch) + model.loss(two, batch) + self.arguments.weight * distance) / 2
        model.backward(loss)
        return loss.detach()
