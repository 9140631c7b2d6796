"""MAT, the intended algorithm: both players of the game are sampled by Langevin dynamics.

Zhong et al. 2023 (arXiv 2306.15826), Algorithm 2. The public text leaves constants open; they are
those of the released ``MAT.py`` (Charles-Zhong/MAT, 05de54a): normalisation of the gradient,
rescaling to the radius, noise after it, one AdamW step as the drift of theta. The released code's
"backup" is a view of the live parameters, so it averages from the point after the first step; here
the copies are real.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from harness.methods import adversary
from harness.methods.interface import Arguments, Limit, Method, Passes, mean_of
from harness.methods.lazy import torch
from mat import langevin

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.interface import Batch, Model, Optimizer


class MatArguments(Arguments):
    """Defaults: the authors' logs for BERT-base (K_theta 10, K_delta 5, both betas .3, ratio .2)."""

    steps_delta: int = Field(5, ge=1, description="samples of the perturbation a batch (K_delta)")
    steps_theta: int = Field(10, ge=1, description="samples of the parameters a batch (K_theta)")
    step_size: float = Field(1e-3, gt=0, description="step of the perturbation (gamma_delta), in the norm")
    start: Literal["zero", "uniform", "normal"] = Field("normal", description="law of the first perturbation")
    start_size: float = Field(1e-5, ge=0, description="scale of the first perturbation")
    radius: float = Field(1e-5, ge=0, description="bound before the noise is added, in the norm; 0 is none")
    norm: adversary.Norm = Field("linf", description="l2 or linf, per example over the whole sequence")
    noise_ratio: float = Field(0.2, ge=0, description="noise of both players relative to their step")
    weight: float = Field(1.0, ge=0, description="weight of the consistency term (lambda); 0 leaves it out")
    beta_s: float = Field(0.3, ge=0, le=1, description="decay of the mean over the samples of a batch")
    beta_p: float = Field(0.3, ge=0, le=1, description="weight of the parameters before the batch")


class Mat(Method):
    """Sample perturbations, then parameters, and move to the mean of the parameters."""

    name = "mat"
    summary = "mixed-strategy game: Langevin samples of perturbation and parameters, averaged"
    citation = "Zhong et al. 2023, MAT (IJCAI), arXiv 2306.15826"
    Arguments = MatArguments
    perturbs_padding = True  # start and noise cover every position, as released; attention masks it
    limits = (
        Limit(
            {"weight": 0.0, "steps_theta": 1, "beta_s": 0.0, "beta_p": 0.0, "noise_ratio": 0.0},
            "vanilla",
            {},
            1e-12,
        ),
    )
    arguments: MatArguments

    @classmethod
    def passes(cls, arguments: MatArguments) -> Passes:
        """1 + K_delta + 2 K_theta forwards; with lambda = 0 the K_theta clean ones alone."""
        samples, steps = arguments.steps_delta, arguments.steps_theta
        if arguments.weight == 0:
            return Passes(forward=steps, backward=steps, optimizer_steps=steps)
        return Passes(
            forward=1 + samples + 2 * steps,
            backward=2 * steps,
            input_backward=samples,
            optimizer_steps=steps,
        )

    def step(self, model: Model, batch: Batch, optimizer: Optimizer) -> Tensor:
        """Play one round of the game on one batch."""
        mean_delta = self._sample_delta(model, batch) if self.arguments.weight > 0 else None
        theta = [p.detach() for p in model.named_parameters().values()]
        before = [p.clone() for p in theta]
        mean_theta = [p.clone() for p in theta]
        losses = []
        for _ in range(self.arguments.steps_theta):
            losses.append(self._theta_gradient(model, batch, mean_delta))
            optimizer.step()
            rate, peak = optimizer.learning_rate, optimizer.peak_learning_rate
            size = langevin.deviation(rate, peak, self.arguments.noise_ratio)
            langevin.add_noise(theta, size, model.draws)
            langevin.average(mean_theta, theta, self.arguments.beta_s)
        torch._foreach_copy_(theta, mean_theta)
        langevin.average(theta, before, 1 - self.arguments.beta_p)
        return mean_of(losses)

    def _sample_delta(self, model: Model, batch: Batch) -> Tensor:
        """Return the averaged mean of the sampled perturbations, the minimising player fixed."""
        chosen = self.arguments
        words = model.words(batch).detach()
        with torch.no_grad():
            clean = model(batch).logits
        delta = self._start(words, model)
        mean = delta.clone()
        size = langevin.deviation(chosen.step_size, chosen.step_size, chosen.noise_ratio)
        for _ in range(chosen.steps_delta):
            delta.requires_grad_()
            loss = self._consistency(model, clean, model(batch, words=words + delta).logits)
            gradient = model.input_gradient(loss, delta)
            delta = delta.detach() + chosen.step_size * adversary.unit(gradient, chosen.norm)
            if chosen.radius > 0:
                delta = adversary.rescale(delta, chosen.radius, chosen.norm)
            langevin.add_noise([delta], size, model.draws)  # after the projection, as released
            langevin.average([mean], [delta], chosen.beta_s)
        return mean

    def _start(self, words: Tensor, model: Model) -> Tensor:
        if self.arguments.start == "zero":
            return torch.zeros_like(words)
        draw = model.draws.normal if self.arguments.start == "normal" else model.draws.uniform
        return self.arguments.start_size * draw(words)

    def _theta_gradient(self, model: Model, batch: Batch, mean_delta: Tensor | None) -> Tensor:
        """Leave the gradient of task loss + lambda * consistency, both branches attached."""
        clean = model(batch).logits
        loss = model.loss(clean, batch)
        if mean_delta is not None:
            perturbed = model(batch, words=model.words(batch) + mean_delta).logits
            loss = loss + self.arguments.weight * self._consistency(model, clean, perturbed)
        model.backward(loss)
        return loss.detach()

    def _consistency(self, model: Model, u: Tensor, v: Tensor) -> Tensor:
        """Return l_s: symmetric KL, gradient through both sides; squares for a regression.

        The released code sums the squares over the batch while the task loss is a mean, so its
        lambda grows with the batch size; ``l_s`` is kept that way until a variant says otherwise.
        """
        if model.regression:
            return adversary.squared_difference(u, v, "sum")
        return adversary.symmetric_kl(u, v)
