"""Langevin sampling: noise, and the exponential average of the samples."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from harness.methods.foreach import lerp_all
from harness.methods.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.interface import Draws


PIECE = 1 << 21
"""Largest number of noise values in memory at a time."""


def deviation(step: float, base_step: float, ratio: float) -> float:
    """Return the noise's standard deviation, sqrt(2 step) * (base_step * ratio).

    For theta, the released code has the rate of the schedule inside of the root and the peak rate outside.
    """
    return math.sqrt(2 * step) * base_step * ratio


def add_noise(tensors: list[Tensor], size: float, draws: Draws) -> None:
    """Add normal noise of standard deviation ``size`` to each tensor, in place."""
    if size > 0:
        for tensor in tensors:
            pieces = [tensor] if tensor.numel() <= PIECE else torch.split(tensor.view(-1), PIECE)
            for piece in pieces:
                piece.add_(draws.normal(piece), alpha=size)


def average(mean: list[Tensor], sample: list[Tensor], decay: float) -> None:
    """Set mean to decay * mean + (1 - decay) * sample, in place."""
    lerp_all(mean, sample, 1 - decay)
