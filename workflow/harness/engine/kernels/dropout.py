"""Dropout on a CPU from sixteen random bits per element.

Torch draws a float per element there, which costs more than the layer around it. Here the probability is
rounded to 1/65536 (0.1 becomes 0.100006), and the scale is exact for the rounded value. Only the bits are
kept for the backward pass. They come from torch's global generator, as those of torch do.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

LEVELS = 1 << 16


def draw_bits(like: Tensor) -> Tensor:
    """Return 16 random bits for each element of ``like``, as int16."""
    count = like.numel()
    words = torch.empty(-(-count // 4), dtype=torch.int64)
    words.random_(torch.iinfo(torch.int64).min, None)  # all 64 bits; without bounds the sign bit is 0
    return words.view(torch.int16)[:count].view(like.shape)


def keep(values: Tensor, bits: Tensor, probability: float) -> Tensor:
    """Return the ``values`` that are kept, and 0 for the others; not scaled."""
    mask = torch.empty_like(values)
    torch.ge(bits, _dropped(probability) - LEVELS // 2, out=mask)
    return mask.mul_(values)


def scale(probability: float) -> float:
    """Return the factor that preserves the mean."""
    return LEVELS / (LEVELS - _dropped(probability))


def _dropped(probability: float) -> int:
    return round(probability * LEVELS)


class _Drop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, probability: float) -> Tensor:
        bits = draw_bits(values)
        ctx.save_for_backward(bits)
        ctx.probability = probability
        return keep(values, bits, probability).mul_(scale(probability))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (bits,) = ctx.saved_tensors
        return keep(gradient, bits, ctx.probability).mul_(scale(ctx.probability)), None


class Dropout(nn.Dropout):
    """Replaces ``nn.Dropout``."""

    def forward(self, input: Tensor) -> Tensor:
        """Drop elements in train mode."""
        if not self.training or _dropped(self.p) in (0, LEVELS):
            return super().forward(input)
        return _Drop.apply(input, self.p)  # type: ignore[no-any-return, no-untyped-call]


def replace_dropout(network: nn.Module) -> None:
    """Replace every ``nn.Dropout`` of ``network``."""
    for module in network.modules():
        if type(module) is nn.Dropout:
            module.__class__ = Dropout
