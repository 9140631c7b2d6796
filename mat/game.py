"""MAT, the intended algorithm: both players of the game are sampled by Langevin dynamics.

Zhong et al. 2023 (arXiv 2306.15826), Algorithm 2. The paper does not state all constants; the others are
those of the released ``MAT.py`` (Charles-Zhong/MAT, 05de54a): normalised gradient, rescaling to the radius,
noise afterwards, one AdamW step as the drift of theta. Arguments select what that code does differently.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from harness.methods import adversary
from harness.methods.foreach import copy_all
from harness.methods.interface import Arguments, LimitingCase, Method, PassCount, mean_of
from harness.methods.lazy import torch
from harness.methods.search_space import Choice, Range, space
from mat import langevin

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.interface import Batch, Model, Optimizer


class MatArguments(Arguments):
    """Defaults: the authors' logs for BERT-base (K_theta 10, K_delta 5, both betas .3, ratio .2)."""

    steps_delta: int = Field(5, ge=1, description="samples of the perturbation per batch (K_delta)")
    steps_theta: int = Field(10, ge=1, description="samples of the parameters per batch (K_theta)")
    step_size: float = Field(1e-3, gt=0, description="step of the perturbation (gamma_delta), in the norm")
    perturb: bool = Field(True, description="false: both passes are clean and differ only by dropout")
    start: adversary.Start = Field("normal", description="distribution of the initial perturbation")
    start_size: float = Field(1e-5, ge=0, description="scale of the initial perturbation")
    radius: float = Field(1e-5, ge=0, description="bound before the noise is added, in the norm; 0: no bound")
    norm: adversary.Norm = Field("linf", description="l2 or linf, per example over the complete sequence")
    noise_ratio: float = Field(0.2, ge=0, description="noise of both players relative to their step")
    weight: float = Field(1.0, ge=0, description="weight of the consistency term (lambda); 0 leaves it out")
    beta_s: float = Field(0.3, ge=0, le=1, description="decay of the mean over the samples of a batch")
    beta_p: float = Field(0.3, ge=0, le=1, description="weight of the parameters before the batch")
    # The latest script has both; before December 2022 it had stopgrad-clean.
    kl_gradient: adversary.Convention = Field(
        "both", description="logits that the gradient of the consistency term reaches"
    )
    # The released code sums, and its task loss is a mean, so its lambda grows with the batch size.
    squares: Literal["sum", "mean"] = Field(
        "sum", description="regression: reduction of the squared difference"
    )
    # The released "backup" and the start of the mean are views of the parameters, so the first AdamW step
    # of a batch moves them, too.
    aliased: bool = Field(
        False, description="true: average from the weights after the first step, as released"
    )


class Mat(Method):
    """Sample perturbations, then parameters, and move to the mean of the parameters."""

    name = "mat"
    summary = "mixed-strategy game: Langevin samples of perturbation and parameters, averaged"
    citation = "Zhong et al. 2023, MAT (IJCAI), arXiv 2306.15826"
    Arguments = MatArguments
    # Around the values of scripts, logs and the authors' search (nni/), which varied the seed, too.
    # The step of theta (gamma_theta) is the learning rate, which is searched for every method.
    search_space = space(
        steps_delta=Range(1, 20),
        steps_theta=Range(1, 20),
        step_size=Range(1e-5, 1e-1, log=True),
        start=Choice(("zero", "uniform", "normal")),
        start_size=Range(1e-6, 1e-2, log=True),
        radius=Range(1e-6, 1.0, log=True),
        noise_ratio=Range(1e-3, 1.0, log=True),
        weight=Range(0.1, 10.0, log=True),
        beta_s=Range(0.0, 0.9),
        beta_p=Range(0.0, 0.9),
    )
    perturbs_padding = True  # start and noise cover every position, as released; attention masks it
    limiting_cases = (
        LimitingCase(
            {"weight": 0.0, "steps_theta": 1, "beta_s": 0.0, "beta_p": 0.0, "noise_ratio": 0.0},
            "vanilla",
            {},
            1e-12,
        ),
    )
    arguments: MatArguments

    @classmethod
    def passes(cls, arguments: MatArguments, regression: bool = False) -> PassCount:
        """1 + K_delta + 2 K_theta forwards; fewer without a perturbation, or with lambda = 0."""
        steps = arguments.steps_theta
        if arguments.weight == 0:
            return PassCount(forward=steps, backward=steps, optimizer_steps=steps)
        samples = arguments.steps_delta if arguments.perturb else 0
        return PassCount(
            forward=2 * steps + (1 + samples if arguments.perturb else 0),
            backward=2 * steps,
            input_backward=samples,
            optimizer_steps=steps,
        )

    @classmethod
    def needs_dropout(cls, arguments: MatArguments) -> bool:
        """Without a perturbation, the consistency term compares two clean passes."""
        return not arguments.perturb and arguments.weight > 0

    @classmethod
    def norm_bound(cls, arguments: MatArguments) -> tuple[adversary.Norm, float] | None:
        """The radius, if neither start nor noise leave it."""
        inside = arguments.start == "zero" and arguments.noise_ratio == 0 and arguments.radius > 0
        return (arguments.norm, arguments.radius) if inside else None

    def __init__(self, arguments: MatArguments) -> None:
        super().__init__(arguments)
        self._buffers: tuple[list[Tensor], list[Tensor]] | None = None

    def step(self, model: Model, batch: Batch, optimizer: Optimizer) -> Tensor:
        """Play one round of the game on one batch."""
        args = self.arguments
        mean_delta = self._sample_delta(model, batch) if args.weight > 0 and args.perturb else None
        theta = [p.detach() for p in model.named_parameters().values()]
        before, mean_theta = self._copies(theta)
        losses = []
        for k in range(args.steps_theta):
            losses.append(self._theta_gradient(model, batch, mean_delta))
            optimizer.step()
            if args.aliased and k == 0:
                copy_all(before, theta)
                copy_all(mean_theta, theta)
            rate, peak = optimizer.learning_rate, optimizer.peak_learning_rate
            langevin.add_noise(theta, langevin.deviation(rate, peak, args.noise_ratio), model.draws)
            langevin.average(mean_theta, theta, args.beta_s)
        copy_all(theta, mean_theta)
        langevin.average(theta, before, 1 - args.beta_p)
        return mean_of(losses)

    def _copies(self, theta: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return two copies of the parameters, in memory that is reused for every batch."""
        if self._buffers is None:
            self._buffers = [torch.empty_like(p) for p in theta], [torch.empty_like(p) for p in theta]
        for copies in self._buffers:
            copy_all(copies, theta)
        return self._buffers

    def _sample_delta(self, model: Model, batch: Batch) -> Tensor:
        """Return the averaged sample of the perturbation, with fixed parameters."""
        args = self.arguments
        words = model.input_embeddings(batch).detach()
        with torch.no_grad():
            clean = model(batch).logits
        delta = adversary.scaled_start(words, args.start, args.start_size, model.draws)
        mean = delta.clone()
        size = langevin.deviation(args.step_size, args.step_size, args.noise_ratio)
        for _ in range(args.steps_delta):
            delta.requires_grad_()
            loss = self._consistency(model, clean, model(batch, inputs_embeds=words + delta).logits)
            gradient = model.input_gradient(loss, delta)
            delta = adversary.ascend(delta, gradient, args.step_size, args.radius, args.norm)
            langevin.add_noise([delta], size, model.draws)  # after the projection, as released
            langevin.average([mean], [delta], args.beta_s)
        return mean

    def _theta_gradient(self, model: Model, batch: Batch, mean_delta: Tensor | None) -> Tensor:
        """Leave the gradient of task loss + lambda * consistency; both passes are attached."""
        clean = model(batch).logits
        loss = model.loss(clean, batch)
        if self.arguments.weight > 0:
            words = None if mean_delta is None else model.input_embeddings(batch) + mean_delta
            perturbed = model(batch, inputs_embeds=words).logits
            loss = loss + self.arguments.weight * self._consistency(model, clean, perturbed)
        model.backward(loss)
        return loss.detach()

    def _consistency(self, model: Model, u: Tensor, v: Tensor) -> Tensor:
        """Return l_s of clean and perturbed logits: symmetric KL; squares for a regression."""
        if not model.regression:
            return adversary.symmetric_kl(u, v, self.arguments.kl_gradient)
        if self.arguments.kl_gradient == "stopgrad-clean":
            u = u.detach()
        return adversary.squared_difference(u, v, self.arguments.squares)
