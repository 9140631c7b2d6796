"""Attention over groups of texts of similar length, for unpadded rows on a CPU.

Scores, [B, L, L], grow with the square of the length, so one long text would pad the complete batch. Texts
are sorted by length (``harness.engine.kernels.unpadding``) and divided into groups at the lowest cost.
Everything outside of attention works on the complete batch.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from harness.engine.compat import softmax_backward
from harness.engine.kernels.dropout import draw_bits, keep, scale

OVERHEAD = 2000
"""Cost of one more group, in scores of one head; times differ by about 4 % between 1000 and 20000."""


def group_by_length(lengths: list[int]) -> list[slice]:
    """Return the cheapest groups of texts with these ascending lengths; cost: padded scores and overhead."""
    best = [(0, 0)]  # cost of the first n texts, and the start of their last group
    for end in range(1, len(lengths) + 1):
        square = lengths[end - 1] ** 2
        best.append(min((best[i][0] + OVERHEAD + (end - i) * square, i) for i in range(end)))
    groups, end = [], len(lengths)
    while end > 0:
        groups.append(slice(best[end][1], end))
        end = best[end][1]
    return groups[::-1]


@dataclass(frozen=True)
class Gather:
    """Moves rows, one per token and head, between the unpadded and the padded shape of a group."""

    into: Tensor
    """[n * heads, positions], unpadded rows; a padding position has the row of a real token."""
    back: Tensor
    """[rows], padded rows."""
    rows: slice | Tensor
    """Unpadded rows that ``back`` refers to."""
    real: Tensor | None
    """[n * heads, positions, 1], 1 for real tokens and 0 for padding; None without padding."""

    @classmethod
    def of(cls, lengths: Tensor, start: int, heads: int) -> "Gather":
        """Return the moves of texts with these lengths, whose tokens begin at ``start``."""
        place, head = torch.arange(int(lengths.max())), torch.arange(heads)
        first = start + lengths.cumsum(0) - lengths
        real = place < lengths[:, None]
        token = torch.where(real, first[:, None] + place, start)
        text, position = real.nonzero(as_tuple=True)
        back = (text[:, None] * heads + head) * len(place) + position[:, None]
        return cls(
            (token[:, None, :] * heads + head[:, None]).flatten(0, 1),
            back.flatten(),
            slice(start * heads, (start + len(text)) * heads),
            None if bool(real.all()) else real.repeat_interleave(heads, 0)[:, :, None].float(),
        )

    def firsts(self) -> "Gather":
        """Return the moves of the first token of each text only."""
        rows = self.into[:, 0]
        return Gather(rows[:, None], torch.arange(len(rows)), rows, None)

    def pad(self, rows: Tensor) -> Tensor:
        """Return all rows, [T * heads, d], as [n * heads, positions, d] of the group."""
        return rows.index_select(0, self.into.flatten()).view(*self.into.shape, -1)

    def unpad(self, padded: Tensor, rows: Tensor) -> None:
        """Write the real rows of [n * heads, positions, d] to their places in ``rows``."""
        rows[self.rows] = padded.flatten(0, 1).index_select(0, self.back)


@dataclass(frozen=True)
class Group:
    """Texts of similar length: their queries and their keys."""

    queries: Gather
    keys: Gather

    def probabilities(self, query: Tensor, key: Tensor, scaling: float) -> Tensor:
        """Return the attention of each query, [n * heads, queries, keys]; 0 on padding."""
        if self.keys.real is None:
            return torch.bmm(query, key.transpose(1, 2)).mul_(scaling).softmax(-1)
        bias = self.keys.real.to(query.dtype).log().transpose(1, 2)
        return torch.baddbmm(bias, query, key.transpose(1, 2), alpha=scaling).softmax(-1)


def groups_of(lengths: Tensor, heads: int) -> list[Group]:
    """Return the groups of texts with these ascending lengths, [B]."""
    groups, ends = [], lengths.cumsum(0)
    for part in group_by_length(lengths.tolist()):
        moves = Gather.of(lengths[part], int(ends[part.start] - lengths[part.start]), heads)
        groups.append(Group(moves, moves))
    return groups


class _Attend(torch.autograd.Function):
    """Rows [T * heads, d] of queries, keys and values to rows of outputs; zero without a query."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        groups: list[Group],
        scaling: float,
        probability: float,
    ) -> Tensor:
        output, saved = torch.zeros_like(query), []
        for group in groups:
            q, k, v = group.queries.pad(query), group.keys.pad(key), group.keys.pad(value)
            attention = group.probabilities(q, k, scaling)
            bits = draw_bits(attention) if probability else attention.new_empty(0)
            kept = keep(attention, bits, probability) if probability else attention
            group.queries.unpad(torch.bmm(kept, v).mul_(scale(probability)), output)
            saved += [q, k, v, attention, bits]
        ctx.save_for_backward(*saved)
        ctx.groups, ctx.scaling, ctx.probability = groups, scaling, probability
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        saved, probability = ctx.saved_tensors, ctx.probability
        gradients = [torch.zeros_like(gradient) for _ in range(3)]
        for number, group in enumerate(ctx.groups):
            q, k, v, attention, bits = saved[5 * number : 5 * number + 5]
            outer = group.queries.pad(gradient).mul_(scale(probability))
            if group.queries.real is not None:
                outer.mul_(group.queries.real)
            kept = keep(attention, bits, probability) if probability else attention
            group.keys.unpad(torch.bmm(kept.transpose(1, 2), outer), gradients[2])
            inner = torch.bmm(outer, v.transpose(1, 2))
            inner = keep(inner, bits, probability) if probability else inner
            inner = softmax_backward(inner, attention).mul_(ctx.scaling)
            group.queries.unpad(torch.bmm(inner, k), gradients[0])
            group.keys.unpad(torch.bmm(inner.transpose(1, 2), q), gradients[1])
        return *gradients, None, None, None


def attend(
    query: Tensor, key: Tensor, value: Tensor, groups: list[Group], scaling: float, probability: float
) -> Tensor:
    """Return the attention output [T, heads, d] of unpadded queries, keys and values [T, heads, d].

    ``probability`` is that of dropping an attention weight.
    """
    rows = [x.reshape(-1, x.shape[2]) for x in (query, key, value)]
    output: Tensor = _Attend.apply(*rows, groups, scaling, probability)  # type: ignore[no-untyped-call]
    return output.view(query.shape)
