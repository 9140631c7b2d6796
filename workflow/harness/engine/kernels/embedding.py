"""Word embeddings that reuse the memory of their gradient, for a CPU.

A batch uses a few hundred of thirty thousand rows. Torch makes a new dense gradient in every backward pass,
47 MB of zeros for MiniLM. Here one buffer is kept, and the rows that were used are cleared. If anything else
wrote into it (a penalty on the weights, noise, clipping), it is cleared completely.
"""

import sys
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from harness.engine.compat import version

OWN_REFERENCES = 2
"""References to the buffer where it is not used elsewhere: the attribute, and the argument of the count."""


class WordEmbeddings(nn.Embedding):
    """Replaces ``nn.Embedding``, with the same weight.

    ``backward`` adds to the weight's ``grad``; ``torch.autograd.grad`` for the weight finds nothing.
    A weight that replaces this one (``torch.func.functional_call``) is treated as torch does.
    """

    def __init__(self, plain: nn.Embedding) -> None:
        super().__init__(plain.num_embeddings, plain.embedding_dim, plain.padding_idx, device="meta")
        self.weight = plain.weight
        self.train(plain.training)
        self._trained = [self.weight]  # in a list, so that it is not a second parameter
        self._buffer: Tensor | None = None
        self._used: list[Tensor] = []
        self._version = 0
        """Version of the buffer after its last write here."""
        self._written_elsewhere = False

    def forward(self, input: Tensor) -> Tensor:
        """Return the rows of these token ids."""
        if self.weight is not self._trained[0]:
            return super().forward(input)
        return _Look.apply(self.weight, input, self)  # type: ignore[no-any-return, no-untyped-call]

    def add_gradient(self, ids: Tensor, gradient: Tensor) -> None:
        """Add the gradient of rows, [T] and [T, D], to that of the weight; padding has none."""
        weight = self._trained[0]
        if weight.grad is None:
            weight.grad = self._cleared()
        kept = weight.grad is self._buffer
        self._written_elsewhere |= kept and version(weight.grad) != self._version
        if self.padding_idx is not None:
            real = (ids != self.padding_idx).nonzero().squeeze(1)
            ids, gradient = ids[real], gradient.index_select(0, real)
        weight.grad.index_add_(0, ids, gradient)
        if kept:
            self._used.append(ids)
            self._version = version(weight.grad)

    def _cleared(self) -> Tensor:
        """Return the buffer, all zero; a new one if a method still refers to the old gradient."""
        if self._buffer is None or sys.getrefcount(self._buffer) > OWN_REFERENCES:
            self._buffer = torch.zeros_like(self._trained[0])
        elif self._written_elsewhere or version(self._buffer) != self._version:
            self._buffer.zero_()
        else:
            for ids in self._used:
                self._buffer.index_fill_(0, ids, 0.0)
        self._used.clear()
        self._written_elsewhere, self._version = False, version(self._buffer)
        return self._buffer


def keep_word_gradient(network: Any) -> None:
    """Replace the word embeddings of ``network``, unless they are of a special kind."""
    words = network.get_input_embeddings()
    if type(words) is nn.Embedding and not (words.max_norm or words.scale_grad_by_freq or words.sparse):
        network.set_input_embeddings(WordEmbeddings(words))


class _Look(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, ids: Tensor, table: WordEmbeddings) -> Tensor:
        ctx.ids, ctx.table = ids, table
        return weight.index_select(0, ids.flatten()).view(*ids.shape, -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, None]:
        ctx.table.add_gradient(ctx.ids.flatten(), gradient.flatten(0, -2))
        return None, None, None
