"""Vanilla fine-tuning: min over theta of the mean task loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.interface import Arguments, Method, PassCount

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.interface import Batch, Model


class Vanilla(Method):
    """Forward, backward, step."""

    name = "vanilla"
    summary = "plain fine-tuning, no adversary"
    citation = "Devlin et al. 2019, BERT: Pre-training of Deep Bidirectional Transformers (NAACL)"

    @classmethod
    def passes(cls, arguments: Arguments, regression: bool = False) -> PassCount:
        """One forward, one backward, one step."""
        return PassCount(forward=1, backward=1, optimizer_steps=1)

    def gradient(self, model: Model, batch: Batch) -> Tensor:
        """Gradient of the mean task loss on the clean batch."""
        loss = model.loss(model(batch).logits, batch)
        model.backward(loss)
        return loss.detach()
