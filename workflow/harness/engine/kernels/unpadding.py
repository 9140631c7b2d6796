"""Unpadding: the layers of an encoder compute the real tokens of a batch only.

Before the layers, the embedding output [B, L, H] is reduced to its T real tokens, [1, T, H], shorter texts
first. Linear layers, activations, norms and dropout work on T rows. On a CPU, attention works on groups of
texts of similar length; on other devices queries, keys and values are padded again for it. After its keys and
values, the last layer computes only what the head reads: the first token of each text, if the head reads no
other. The mathematics is the same. The dropout masks are drawn for fewer rows, so they differ from those of a
padded batch.
"""

import inspect
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from harness.engine.compat import attention_implementation
from harness.engine.kernels.attention import Group, attend, groups_of

NAME = "unpadded"
"""Name of the attention in the library's attention interface."""


@dataclass(frozen=True)
class Layout:
    """Positions of the real tokens of a batch. It reaches attention in place of the attention mask."""

    shape: tuple[int, int]
    """(B, L)"""
    index: Tensor
    """[T], positions of the real tokens in the flattened batch."""
    firsts: Tensor
    """[B], unpadded row of the first token of each text."""
    lengths: Tensor
    """[B], ascending."""
    keys: Tensor
    """[B, 1, 1, L], True for real tokens."""
    firsts_only: bool = False
    """If true, only first tokens are queries; all tokens are keys."""
    cache: dict[tuple[int, bool], list[Group]] = field(default_factory=dict)
    """Groups by number of heads and ``firsts_only``."""

    @classmethod
    def of(cls, mask: Tensor) -> "Layout":
        """Return the layout of a batch with this attention mask [B, L]."""
        real = mask.bool()
        lengths, order = real.sum(1).sort(stable=True)
        text, position = real[order].nonzero(as_tuple=True)
        firsts = torch.empty_like(lengths)
        firsts[order] = lengths.cumsum(0) - lengths
        shape = (mask.shape[0], mask.shape[1])
        return cls(shape, order[text] * shape[1] + position, firsts, lengths, real[:, None, None, :])

    def unpad(self, padded: Tensor) -> Tensor:
        """Return [B, L, H] as [1, T, H]."""
        return padded.flatten(0, 1).index_select(0, self.index).unsqueeze(0)

    def pad(self, rows: Tensor) -> Tensor:
        """Return [1, T, H] as [B, L, H], zero on padding."""
        texts, length = self.shape
        flat = rows.new_zeros(texts * length, rows.shape[2])
        return flat.index_copy(0, self.index, rows.squeeze(0)).view(texts, length, -1)

    def groups(self, heads: int) -> list[Group]:
        """Return the groups for attention; all layers share them."""
        key = (heads, self.firsts_only)
        if key not in self.cache:
            groups = self.cache.get((heads, False)) or groups_of(self.lengths, heads)
            self.cache[heads, False] = groups
            if self.firsts_only:
                self.cache[key] = [Group(group.queries.firsts(), group.keys) for group in groups]
        return self.cache[key]


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Layout,
    dropout: float = 0.0,
    scaling: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attend within each text; query, key and value are [1, heads, T, d]."""
    layout = attention_mask
    heads, width = query.shape[1], query.shape[3]
    if in_groups(query.device):
        queries, keys, values = (x.squeeze(0).transpose(0, 1) for x in (query, key, value))
        scale = width**-0.5 if scaling is None else scaling
        return attend(queries, keys, values, layout.groups(heads), scale, dropout).unsqueeze(0), None

    def padded(x: Tensor) -> Tensor:
        return layout.pad(x.transpose(1, 2).flatten(2)).view(*layout.shape, heads, width).transpose(1, 2)

    output = functional.scaled_dot_product_attention(
        padded(query), padded(key), padded(value), layout.keys, dropout_p=dropout, scale=scaling
    )
    return layout.unpad(output.transpose(1, 2).flatten(2)).view(1, -1, heads, width), None


def in_groups(device: torch.device) -> bool:
    """Return whether attention works on groups of texts; GPUs have fast kernels for padded batches."""
    return device.type == "cpu"


class Unpadding:
    """Hooks that let the encoder of a network compute real tokens only, until ``remove``."""

    def __init__(self, network: Any) -> None:
        from transformers import AttentionInterface, AttentionMaskInterface

        AttentionInterface.register(NAME, _attention)
        AttentionMaskInterface.register(NAME, lambda **_: None)
        self.firsts_only = False
        """If true, the last layer computes first tokens only, after its keys and values."""
        self._mask: Tensor | None = None
        self._layout: Layout | None = None
        self._network, self._attention_before = network, attention_implementation(network)
        network.set_attn_implementation(NAME)
        stack = network.base_model.encoder
        self._signature = inspect.signature(stack.forward)
        self._hooks = [
            stack.register_forward_pre_hook(self._enter, with_kwargs=True),
            stack.register_forward_hook(self._leave),
        ]
        last = _last_layer(stack)
        self.can_select_firsts = last is not None
        if last is not None:
            self._last_signature = inspect.signature(last.forward)
            self._hooks += [
                last.register_forward_pre_hook(self._enter_last, with_kwargs=True),
                last.attention.output.register_forward_pre_hook(self._select_firsts),
            ]

    def remove(self) -> None:
        """Remove the hooks and restore the previous attention of the network."""
        for hook in self._hooks:
            hook.remove()
        self._network.set_attn_implementation(self._attention_before)

    def start(self, mask: Tensor) -> None:
        """Set the mask of the batch of the next forward pass."""
        if mask is not self._mask:
            self._mask, self._layout = mask, Layout.of(mask)

    def _enter(self, _stack: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
        assert self._layout is not None
        bound = self._signature.bind(*args, **kwargs)
        bound.arguments["hidden_states"] = self._layout.unpad(bound.arguments["hidden_states"])
        bound.arguments["attention_mask"] = self._layout
        return bound.args, bound.kwargs

    def _enter_last(self, _layer: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
        bound = self._last_signature.bind(*args, **kwargs)
        layout = bound.arguments["attention_mask"]
        bound.arguments["attention_mask"] = replace(layout, firsts_only=self.firsts_only)
        return bound.args, bound.kwargs

    def _select_firsts(self, _module: nn.Module, rows: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Drop all but first tokens from the attention's output and from the residual beside it."""
        assert self._layout is not None
        firsts = self._layout.firsts
        return tuple(x.index_select(1, firsts) for x in rows) if self.firsts_only else rows

    def _leave(self, _stack: nn.Module, _args: Any, output: Any) -> Any:
        assert self._layout is not None
        states = output.last_hidden_state
        # First tokens only: [1, B, H] to [B, 1, H].
        output.last_hidden_state = states.transpose(0, 1) if self.firsts_only else self._layout.pad(states)
        return output


def _last_layer(stack: Any) -> Any:
    """Return the last layer if its attention ends in a module that takes (output, residual), else None."""
    layers = getattr(stack, "layer", None)
    if not isinstance(layers, nn.ModuleList):
        return None
    after = getattr(getattr(layers[-1], "attention", None), "output", None)
    if not isinstance(after, nn.Module) or len(inspect.signature(after.forward).parameters) != 2:
        return None
    return layers[-1]
