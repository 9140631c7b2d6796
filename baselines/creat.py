"""CreAT: perturbations that increase the loss and turn the contextual representation.

Wu et al. 2023; order and constants as in ``trainer/creat.py`` (gingasan/CreAT).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from harness.methods import adversary
from harness.methods.interface import Arguments, LimitingCase, Method, PassCount
from harness.methods.lazy import functional
from harness.methods.search_space import Range, space

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.interface import Batch, Model


class CreATArguments(Arguments):
    """Defaults: the released script's."""

    steps: int = Field(2, ge=1, description="perturbed passes (K); the ascent has one step less")
    step_size: float = Field(0.1, gt=0, description="length of an ascent step, L2 per example")
    radius: float = Field(0.1, ge=0, description="bound on the perturbation, L2 per example; 0: no bound")
    temperature: float = Field(1.0, ge=0, description="weight of the cosine in the ascent (tau)")
    start_size: float = Field(1e-2, ge=0, description="standard deviation of the initial perturbation")


class CreAT(Method):
    """Mean of the clean loss and the loss at a perturbation that also turns the state of the first token."""

    name = "creat"
    summary = "ascent on the loss less the cosine of clean and perturbed representations"
    citation = "Wu et al. 2023, Toward Adversarial Training on Contextualized Language Representation (ICLR)"
    Arguments = CreATArguments
    search_space = space(
        steps=Range(1, 4),
        step_size=Range(1e-2, 1.0, log=True),
        radius=Range(0.0, 1.0),
        temperature=Range(0.1, 10.0, log=True),
        start_size=Range(1e-4, 1e-1, log=True),
    )
    perturbs_padding = True  # the released code computes a mask and does not use it; attention masks padding
    limiting_cases = (LimitingCase({"steps": 1, "start_size": 0.0}, "vanilla", {}, 1e-12),)
    arguments: CreATArguments

    @classmethod
    def passes(cls, arguments: CreATArguments, regression: bool = False) -> PassCount:
        """1 + K forwards; backward passes of the clean and the last one, and K - 1 to the input."""
        steps = arguments.steps
        return PassCount(forward=1 + steps, backward=2, input_backward=steps - 1, optimizer_steps=1)

    def gradient(self, model: Model, batch: Batch) -> Tensor:
        """Gradient of the mean of clean and perturbed task loss; both passes are attached."""
        args = self.arguments
        clean = model(batch)
        target = clean.last_hidden.detach()
        words = model.input_embeddings(batch).detach()
        delta = args.start_size * model.draws.normal(words)
        for _ in range(args.steps - 1):
            delta.requires_grad_()
            perturbed = model(batch, inputs_embeds=words + delta)
            # Summed over the batch, as released, and the loss is a mean: the weight is B * tau.
            cosine = functional.cosine_similarity(perturbed.last_hidden, target, dim=-1).sum()
            ascent = model.loss(perturbed.logits, batch) - args.temperature * cosine
            gradient = model.input_gradient(ascent, delta)
            delta = adversary.ascend(delta, gradient, args.step_size, args.radius, "l2")
        perturbed = model(batch, inputs_embeds=model.input_embeddings(batch) + delta)
        loss = (model.loss(clean.logits, batch) + model.loss(perturbed.logits, batch)) / 2
        model.backward(loss)
        return loss.detach()
