"""Word embeddings whose gradient stays in memory, for a CPU.

A batch touches some hundred of thirty thousand rows. Torch makes a new dense gradient in every
backward pass, 47 MB of zeros for MiniLM; here one buffer is kept, and its touched rows are cleared.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class WordRows(nn.Embedding):
    """In the place of ``nn.Embedding``, with the same weight.

    ``backward`` adds to the weight's ``grad``; ``torch.autograd.grad`` for the weight finds nothing.
    A weight that stands in for this one (``torch.func.functional_call``) is treated as torch does.
    """

    def __init__(self, plain: nn.Embedding) -> None:
        nn.Module.__init__(self)
        self.__dict__.update(plain.__dict__)
        self._own = [self.weight]  # in a list, so that it is no second parameter
        self._kept: Tensor | None = None
        self._touched: list[Tensor] = []

    def forward(self, input: Tensor) -> Tensor:
        """Return the rows of these token ids."""
        if self.weight is not self._own[0]:
            return super().forward(input)
        return _Look.apply(self.weight, input, self)  # type: ignore[no-any-return, no-untyped-call]

    def add_gradient(self, ids: Tensor, gradient: Tensor) -> None:
        """Add the gradient of looked-up rows, [T] and [T, D], to the weight's; padding has none."""
        weight = self._own[0]
        if weight.grad is None:
            weight.grad = self._cleared()
        if self.padding_idx is not None:
            real = (ids != self.padding_idx).nonzero().squeeze(1)
            ids, gradient = ids[real], gradient.index_select(0, real)
        weight.grad.index_add_(0, ids, gradient)
        if weight.grad is self._kept:
            self._touched.append(ids)

    def _cleared(self) -> Tensor:
        """Return the kept buffer, all zero."""
        if self._kept is None:
            self._kept = torch.zeros_like(self._own[0])
        for ids in self._touched:
            self._kept.index_fill_(0, ids, 0.0)
        self._touched.clear()
        return self._kept


def keep_word_gradient(network: Any) -> None:
    """Put these word embeddings in the place of torch's, unless the network has a kind of its own."""
    words = network.get_input_embeddings()
    if type(words) is nn.Embedding and words.max_norm is None and not words.scale_grad_by_freq:
        network.set_input_embeddings(WordRows(words))


class _Look(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, ids: Tensor, table: WordRows) -> Tensor:
        ctx.ids, ctx.table = ids, table
        return weight.index_select(0, ids.flatten()).view(*ids.shape, -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, None]:
        ctx.table.add_gradient(ctx.ids.flatten(), gradient.flatten(0, -2))
        return None, None, None
