"""Loss scaling for fp16: gradients too small for its range are multiplied by a large power of two.

The optimizer divides the parameters' gradients again. Those of perturbations are divided here, before a
method sees them, because some ascents depend on the scale.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary


class LossScale:
    """Torch's scaler, and the perturbations whose gradients it must not change."""

    def __init__(self, device: torch.device) -> None:
        self.scaler = torch.amp.GradScaler(device.type)
        self._guarded = WeakIdKeyDictionary()

    def up(self, loss: Tensor) -> Tensor:
        """Return the loss times the scale."""
        scaled: Tensor = self.scaler.scale(loss)
        return scaled

    def guard(self, perturbed: Tensor) -> None:
        """Let every perturbation that ``perturbed`` was computed from receive unscaled gradients."""
        for leaf in _leaves(perturbed):
            if not isinstance(leaf, nn.Parameter) and leaf not in self._guarded:
                self._guarded[leaf] = True
                leaf.register_hook(self._unscale)  # type: ignore[no-untyped-call]

    def _unscale(self, gradient: Tensor) -> Tensor:
        return gradient / self.scaler.get_scale()


def _leaves(tensor: Tensor) -> Iterator[Tensor]:
    """Yield the leaves of the graph of ``tensor``."""
    if tensor.grad_fn is None:
        if tensor.requires_grad:
            yield tensor
        return
    visited, pending = set(), [tensor.grad_fn]
    while pending:
        node = pending.pop()
        if node in visited:
            continue
        visited.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        pending += [following for following, _ in node.next_functions if following is not None]
