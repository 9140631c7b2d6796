"""No computed padding: the encoder's layers see real tokens only.

Before the stack of layers the embedding output [B, L, H] is flattened to its T real tokens,
[1, T, H], shorter texts first. Every linear layer, activation, norm and dropout works on T rows.
Attention works on groups of texts of similar length on a CPU; elsewhere queries, keys and values are
padded again for it. The last layer computes, past its keys and values, only what the head reads: each
text's first token, where a trial at set-up shows that it reads no more. Same mathematics, fewer rows
(dropout draws its masks for these rows, so they are others than a padded batch's).
"""

import inspect
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from harness.core.attention import Group, attend, groups_of

NAME = "packed"


@dataclass(frozen=True)
class Layout:
    """Where the real tokens of a batch lie. It takes the attention mask's place on its way to attention."""

    shape: tuple[int, int]
    """(B, L)"""
    index: Tensor
    """[T], positions of the real tokens in the flattened batch."""
    firsts: Tensor
    """[B], packed row of each text's first token."""
    lengths: Tensor
    """[B], ascending."""
    keys: Tensor
    """[B, 1, 1, L], True for real tokens."""
    firsts_only: bool = False
    """Whether only first tokens ask (all of them answer)."""
    found: dict[tuple[int, bool], list[Group]] = field(default_factory=dict)

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

    def pack(self, padded: Tensor) -> Tensor:
        """[B, L, H] to [1, T, H]."""
        return padded.flatten(0, 1).index_select(0, self.index).unsqueeze(0)

    def unpack(self, packed: Tensor) -> Tensor:
        """[1, T, H] to [B, L, H], zero on padding."""
        rows, length = self.shape
        flat = packed.new_zeros(rows * length, packed.shape[2])
        return flat.index_copy(0, self.index, packed.squeeze(0)).view(rows, length, -1)

    def groups(self, heads: int) -> list[Group]:
        """Return the groups for attention; all layers share them."""
        key = (heads, self.firsts_only)
        if key not in self.found:
            whole = self.found.get((heads, False)) or groups_of(self.lengths, heads)
            self.found[heads, False] = whole
            if self.firsts_only:
                self.found[key] = [Group(group.queries.firsts(), group.keys) for group in whole]
        return self.found[key]


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
        asking, answering, values = (x.squeeze(0).transpose(0, 1) for x in (query, key, value))
        scale = width**-0.5 if scaling is None else scaling
        return attend(asking, answering, values, layout.groups(heads), scale, dropout).unsqueeze(0), None

    def padded(x: Tensor) -> Tensor:
        return layout.unpack(x.transpose(1, 2).flatten(2)).view(*layout.shape, heads, width).transpose(1, 2)

    output = functional.scaled_dot_product_attention(
        padded(query), padded(key), padded(value), layout.keys, dropout_p=dropout, scale=scaling
    )
    return layout.pack(output.transpose(1, 2).flatten(2)).view(1, -1, heads, width), None


def in_groups(device: torch.device) -> bool:
    """Tell whether attention takes texts in groups; a GPU's own kernels take padded batches."""
    return device.type == "cpu"


class Packing:
    """Lets a network's encoder compute real tokens only, where its attention allows it."""

    def __init__(self, network: Any) -> None:
        from transformers import AttentionInterface, AttentionMaskInterface

        AttentionInterface.register(NAME, _attention)
        AttentionMaskInterface.register(NAME, lambda **_: None)
        self._mask: Tensor | None = None
        self._layout: Layout | None = None
        self._firsts_only = False
        self._poisoned = False
        network.set_attn_implementation(NAME)
        stack = network.base_model.encoder
        self._signature = inspect.signature(stack.forward)
        stack.register_forward_pre_hook(self._enter, with_kwargs=True)
        stack.register_forward_hook(self._leave)
        if (last := _last_layer(stack)) is not None:
            self._last_signature = inspect.signature(last.forward)
            last.register_forward_pre_hook(self._enter_last, with_kwargs=True)
            last.attention.output.register_forward_pre_hook(self._select_firsts)
            self._firsts_only = self._head_reads_firsts_only(network)

    def start(self, mask: Tensor) -> None:
        """Take the mask of the batch whose forward pass comes next."""
        if mask is not self._mask:
            self._mask, self._layout = mask, Layout.of(mask)

    def _head_reads_firsts_only(self, network: Any) -> bool:
        """Compare a pass with first tokens alone, and one with NaN in all the others' last states."""
        ids = torch.arange(1, 9, device=next(network.parameters()).device).view(2, 4)
        mask, training = (ids < 8).long(), network.training
        network.eval()
        logits = []
        for self._firsts_only in (True, False):
            self._poisoned = not self._firsts_only
            self.start(mask)
            with torch.no_grad():
                logits.append(network(input_ids=ids, attention_mask=mask).logits)
        self._poisoned = False
        network.train(training)
        return torch.allclose(logits[0], logits[1], rtol=1e-4, atol=1e-5)

    def _enter(self, _stack: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
        assert self._layout is not None
        given = self._signature.bind(*args, **kwargs)
        given.arguments["hidden_states"] = self._layout.pack(given.arguments["hidden_states"])
        given.arguments["attention_mask"] = self._layout
        return given.args, given.kwargs

    def _enter_last(self, _layer: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
        given = self._last_signature.bind(*args, **kwargs)
        given.arguments["attention_mask"] = replace(
            given.arguments["attention_mask"], firsts_only=self._firsts_only
        )
        return given.args, given.kwargs

    def _select_firsts(self, _module: nn.Module, rows: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Leave all but first tokens out, of the attention's output and of the residual beside it."""
        assert self._layout is not None
        firsts = self._layout.firsts
        return tuple(x.index_select(1, firsts) for x in rows) if self._firsts_only else rows

    def _leave(self, _stack: nn.Module, _args: Any, output: Any) -> Any:
        assert self._layout is not None
        states = output.last_hidden_state
        if self._firsts_only:
            output.last_hidden_state = states.transpose(0, 1)  # [B, 1, H]
        else:
            output.last_hidden_state = self._layout.unpack(states)
        if self._poisoned:
            output.last_hidden_state[:, 1:] = torch.nan
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


def can_pack(network: Any) -> bool:
    """Tell whether a network's attention comes from the library's interface and its layers stand in a stack.

    Encoders whose positions enter attention itself (rotary, relative) take whole batches.
    """
    config = network.config
    rotary = any(hasattr(config, key) for key in ("rope_theta", "rope_parameters"))
    return (
        getattr(network, "_supports_attention_backend", False)
        and isinstance(getattr(network.base_model, "encoder", None), nn.Module)
        and not rotary
    )
