"""Word embeddings that reuse the memory of their gradient, for a CPU.

A batch uses a few hundred of thirty thousand rows. Torch makes a new dense gradient in every backward pass,
47 MB for MiniLM, and requesting that memory costs most of the time (21 ms; clearing memory that the process
has takes 1.5 ms). Here the memory of the last gradient is cleared and used again, unless it is still in use.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from harness.engine.compat import accumulates, shares_memory


class WordEmbeddings(nn.Embedding):
    """Replaces ``nn.Embedding``, with the same weight.

    ``backward`` adds to the weight's ``grad`` directly, so hooks on the weight receive no gradient.
    A weight that replaces this one (``torch.func.functional_call``) is treated as torch does.
    """

    def __init__(self, plain: nn.Embedding) -> None:
        super().__init__(plain.num_embeddings, plain.embedding_dim, plain.padding_idx, device="meta")
        self.weight = plain.weight
        self.train(plain.training)
        self._trained = [self.weight]  # in a list, so that it is not a second parameter
        self._memory: Tensor | None = None
        """Memory of the last gradient."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the rows of these token ids."""
        if self.weight is not self._trained[0]:
            return super().forward(input)
        return _Look.apply(self.weight, input, self)  # type: ignore[no-any-return, no-untyped-call]

    def add_gradient(self, ids: Tensor, rows: Tensor) -> None:
        """Add the gradient of the rows of these ids, [T] and [T, D], to that of the weight."""
        weight = self._trained[0]
        if weight.grad is None:
            weight.grad = self._zeros()
        self._add(weight.grad, ids, rows)

    def gradient(self, ids: Tensor, rows: Tensor) -> Tensor:
        """Return the gradient of the weight, in new memory."""
        return self._add(torch.zeros_like(self._trained[0]), ids, rows)

    def _add(self, gradient: Tensor, ids: Tensor, rows: Tensor) -> Tensor:
        """Add rows to the gradient of the weight, in place; padding has none."""
        if self.padding_idx is not None:
            real = (ids != self.padding_idx).nonzero().squeeze(1)
            ids, rows = ids[real], rows.index_select(0, real)
        return gradient.index_add_(0, ids, rows)

    def _zeros(self) -> Tensor:
        """Return zeros, in the memory of the last gradient if no tensor or array uses it any more.

        All of it is cleared: a penalty on the weights, noise or clipping may have written into any row.
        """
        if self._memory is None or shares_memory(self._memory):
            self._memory = torch.zeros_like(self._trained[0])
        else:
            self._memory.zero_()
        return self._memory.detach()


def keep_word_gradient(network: Any) -> None:
    """Replace the word embeddings of ``network``, unless they are of a special kind."""
    words = network.get_input_embeddings()
    if type(words) is nn.Embedding and not (words.max_norm or words.scale_grad_by_freq or words.sparse):
        network.set_input_embeddings(WordEmbeddings(words))


class _Look(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, ids: Tensor, table: WordEmbeddings) -> Tensor:
        ctx.weight, ctx.ids, ctx.table = weight, ids, table
        return weight.index_select(0, ids.flatten()).view(*ids.shape, -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, None]:
        table, ids, rows = ctx.table, ctx.ids.flatten(), gradient.flatten(0, -2)
        if not accumulates(ctx.weight):
            return table.gradient(ids, rows), None, None
        table.add_gradient(ids, rows)
        return None, None, None
