"""Arithmetic that methods share: norms, projections, initial perturbations, consistency losses.

Perturbations are [B, L, D]. Norms are per example over the complete sequence, unless the name says otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from harness.methods.lazy import functional, torch

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.interface import Draws

Norm = Literal["l2", "linf"]
Convention = Literal["both", "stopgrad-target", "stopgrad-clean"]
"""The logits that the gradient of a symmetric consistency loss reaches: see ``symmetric_kl``."""
Start = Literal["zero", "uniform", "normal"]
GRADIENT_FLOOR = 1e-8
"""Smallest norm that a gradient is divided by, as in FreeLB, MAT and CreAT."""


def norm(delta: Tensor, kind: Norm) -> Tensor:
    """Return the norm of each example's perturbation, [B, 1, 1]."""
    flat = delta.flatten(1)
    size = flat.norm(dim=1) if kind == "l2" else flat.abs().amax(dim=1)
    return size.view(-1, 1, 1)


def token_norm(delta: Tensor) -> Tensor:
    """Return the largest coordinate of each token's perturbation, [B, L, 1]."""
    return delta.abs().amax(dim=2, keepdim=True)


def unit(gradient: Tensor, kind: Norm) -> Tensor:
    """Return ``gradient`` divided by each example's norm."""
    return gradient / norm(gradient, kind).clamp_min(GRADIENT_FLOOR)


def rescale(delta: Tensor, radius: float, kind: Norm) -> Tensor:
    """Return ``delta`` with every example whose norm exceeds ``radius`` scaled to that norm.

    For L2 this is the Euclidean projection; for L-infinity it is not (``clip`` is).
    """
    size = norm(delta, kind)
    return torch.where(size > radius, delta * (radius / size.clamp_min(torch.finfo(delta.dtype).tiny)), delta)


def clip(delta: Tensor, radius: float) -> Tensor:
    """Return ``delta`` with each coordinate clipped to ``radius``: the L-infinity projection."""
    return delta.clamp(-radius, radius)


def uniform_start(words: Tensor, mask: Tensor, magnitude: float, kind: Norm, draws: Draws) -> Tensor:
    """Return FreeLB's initial perturbation, zero on padding.

    L2: U(-1, 1) scaled by ``magnitude / sqrt(n_b D)``, n_b the number of real tokens, so that the
    expected norm is magnitude / sqrt(3). L-infinity: U(-magnitude, magnitude).
    """
    delta = (2 * draws.uniform(words) - 1) * mask.unsqueeze(2)
    if kind == "linf":
        return delta * magnitude
    sizes = mask.sum(1).to(delta.dtype) * words.shape[2]
    return delta * (magnitude / sizes.sqrt()).view(-1, 1, 1)


def scaled_start(words: Tensor, start: Start, size: float, draws: Draws) -> Tensor:
    """Return the initial perturbation of MAT's scripts: on every position, padding included.

    ``uniform`` is U(0, 1) times ``size``: one-sided, as released.
    """
    if start == "zero":
        return torch.zeros_like(words)
    return size * (draws.normal(words) if start == "normal" else draws.uniform(words))


def ascend(delta: Tensor, gradient: Tensor, step_size: float, radius: float, kind: Norm) -> Tensor:
    """Return ``delta`` moved by a normalised step and rescaled to ``radius`` (0: not rescaled)."""
    moved = delta.detach() + step_size * unit(gradient, kind)
    return rescale(moved, radius, kind) if radius > 0 else moved


def symmetric_kl(u: Tensor, v: Tensor, gradient: Convention = "both") -> Tensor:
    """Return KL(u||v) + KL(v||u), mean over the batch; u clean, v perturbed logits [B, C].

    There are three gradient conventions, and in training they are different methods: through ``both`` sides
    (MAT since December 2022, R3F), with the target of each divergence detached (SMART, CreAT's port of R3F),
    or with the clean logits detached (MAT before).
    """
    if gradient == "stopgrad-target":
        return kl_from(u, v) + kl_from(v, u)
    if gradient == "stopgrad-clean":
        u = u.detach()
    # The sum equals (p_u - p_v)(log p_u - log p_v), which rounding cannot make negative if the two
    # distributions are nearly equal.
    difference = functional.log_softmax(u, -1) - functional.log_softmax(v, -1)
    return ((u.softmax(-1) - v.softmax(-1)) * difference).sum(-1).mean()


def kl_to(logits: Tensor, target: Tensor) -> Tensor:
    """Return KL(p_logits || p_target), mean over the batch; the target is a constant."""
    log_p = functional.log_softmax(logits, -1)
    log_q = functional.log_softmax(target.detach(), -1)
    return (log_p.exp() * (log_p - log_q)).sum(-1).mean()


def kl_from(target: Tensor, logits: Tensor) -> Tensor:
    """Return KL(p_target || p_logits), mean over the batch; the target is a constant."""
    log_p = functional.log_softmax(target.detach(), -1)
    log_q = functional.log_softmax(logits, -1)
    return (log_p.exp() * (log_p - log_q)).sum(-1).mean()


def squared_difference(u: Tensor, v: Tensor, reduction: Literal["mean", "sum"] = "mean") -> Tensor:
    """Return the consistency loss of a regression, reduced over the batch."""
    squares = (u - v).square().sum(-1)
    return squares.mean() if reduction == "mean" else squares.sum()


def stable_kl(logits: Tensor, target: Tensor, epsilon: float = 1e-6) -> Tensor:
    """Return the "stable_kl" of SMART's and MT-DNN's codes, [B, C] before any reduction.

    2 p (logit(p) - logit(q)) with both logit terms detached and logit(p) = -log(1 / (p + eps) - 1 + eps).
    It is not a divergence: a quarter of random pairs give a negative value. Use it only in variants that
    follow those codes.
    """
    p = logits.softmax(-1)

    def logit(x: Tensor) -> Tensor:
        return -(1 / (x.detach() + epsilon) - 1 + epsilon).log()

    return 2 * p * (logit(p) - logit(target.softmax(-1)))
