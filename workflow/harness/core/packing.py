"""No computed padding: the encoder's layers see real tokens only.

Before the stack of layers the embedding output [B, L, H] is flattened to its T real tokens,
[1, T, H]; behind the stack it is scattered back, so the head and the method see the usual shapes.
Inside, every linear layer, activation, norm and dropout works on T rows; only around the scaled dot
product are queries, keys and values padded again. Same mathematics, fewer rows (dropout draws its
masks for T rows, so they are others than a padded batch's).
"""

import inspect
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as functional
from torch import Tensor, nn

NAME = "packed"


@dataclass(frozen=True)
class Layout:
    """Where the real tokens of a batch lie. It takes the attention mask's place on its way to attention."""

    shape: tuple[int, int]
    """(B, L)"""
    index: Tensor
    """[T], positions of the real tokens in the flattened batch."""
    keys: Tensor
    """[B, 1, 1, L], True for real tokens."""

    @classmethod
    def of(cls, mask: Tensor) -> "Layout":
        """Return the layout of a batch with this attention mask [B, L]."""
        real = mask.bool()
        return cls(
            (mask.shape[0], mask.shape[1]), real.flatten().nonzero().squeeze(1), real[:, None, None, :]
        )

    def pack(self, padded: Tensor) -> Tensor:
        """[B, L, H] to [1, T, H]."""
        return padded.flatten(0, 1).index_select(0, self.index).unsqueeze(0)

    def unpack(self, packed: Tensor) -> Tensor:
        """[1, T, H] to [B, L, H], zero on padding."""
        rows, length = self.shape
        flat = packed.new_zeros(rows * length, packed.shape[2])
        return flat.index_copy(0, self.index, packed.squeeze(0)).view(rows, length, -1)


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

    def padded(x: Tensor) -> Tensor:
        return layout.unpack(x.transpose(1, 2).flatten(2)).view(*layout.shape, heads, width).transpose(1, 2)

    output = functional.scaled_dot_product_attention(
        padded(query), padded(key), padded(value), layout.keys, dropout_p=dropout, scale=scaling
    )
    return layout.pack(output.transpose(1, 2).flatten(2)).view(1, -1, heads, width), None


class Packing:
    """Lets a network's encoder compute real tokens only, where its attention allows it."""

    def __init__(self, network: Any) -> None:
        from transformers import AttentionInterface, AttentionMaskInterface

        AttentionInterface.register(NAME, _attention)
        AttentionMaskInterface.register(NAME, lambda **_: None)
        self._mask: Tensor | None = None
        self._layout: Layout | None = None
        network.set_attn_implementation(NAME)
        stack = network.base_model.encoder
        self._signature = inspect.signature(stack.forward)
        stack.register_forward_pre_hook(self._enter, with_kwargs=True)
        stack.register_forward_hook(self._leave)

    def start(self, mask: Tensor) -> None:
        """Take the mask of the batch whose forward pass comes next."""
        if mask is not self._mask:
            self._mask, self._layout = mask, Layout.of(mask)

    def _enter(self, _stack: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
        assert self._layout is not None
        given = self._signature.bind(*args, **kwargs)
        given.arguments["hidden_states"] = self._layout.pack(given.arguments["hidden_states"])
        given.arguments["attention_mask"] = self._layout
        return given.args, given.kwargs

    def _leave(self, _stack: nn.Module, _args: Any, output: Any) -> Any:
        assert self._layout is not None
        output.last_hidden_state = self._layout.unpack(output.last_hidden_state)
        return output


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
