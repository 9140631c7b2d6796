"""Copies and averages of lists of tensors, in place; on a GPU one kernel for many tensors.

Torch has these operations only under private names. ``tests/unit/test_methods.py`` compares each with a loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


def copy_all(targets: list[Tensor], sources: list[Tensor]) -> None:
    """Copy each of ``sources`` into the target of the same position."""
    torch._foreach_copy_(targets, sources)


def lerp_all(targets: list[Tensor], sources: list[Tensor], weight: float) -> None:
    """Add ``weight * (source - target)`` to each target."""
    torch._foreach_lerp_(targets, sources, weight)
