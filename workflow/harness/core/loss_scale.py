"""Loss scaling for fp16: gradients too small for its range are computed times a large power of two.

The parameters' gradients are divided again by the optimizer, those of perturbations here, before any
method sees them: not every ascent is blind to scale.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary


class LossScale:
    """Torch's scaler, and the perturbations whose gradients it must not reach."""

    def __init__(self, device: torch.device) -> None:
        self.scaler = torch.amp.GradScaler(device.type)
        self._known = WeakIdKeyDictionary()

    def up(self, loss: Tensor) -> Tensor:
        """Return the loss times the scale."""
        scaled: Tensor = self.scaler.scale(loss)
        return scaled

    def guard(self, fed: Tensor) -> None:
        """Let every perturbation that ``fed`` was made from receive unscaled gradients."""
        for leaf in _leaves(fed):
            if not isinstance(leaf, nn.Parameter) and leaf not in self._known:
                self._known[leaf] = True
                leaf.register_hook(self._down)  # type: ignore[no-untyped-call]

    def _down(self, gradient: Tensor) -> Tensor:
        return gradient / self.scaler.get_scale()


def _leaves(tensor: Tensor) -> Iterator[Tensor]:
    """Yield the tensors that gradients of ``tensor`` end in."""
    if tensor.grad_fn is None:
        if tensor.requires_grad:
            yield tensor
        return
    seen, todo = set(), [tensor.grad_fn]
    while todo:
        node = todo.pop()
        if node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        todo += [after for after, _ in node.next_functions if after is not None]
