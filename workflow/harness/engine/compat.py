"""All private attributes of libraries that the engine uses; ``tests/parity/test_compat.py`` tests each."""

from typing import Any

import torch
from torch import Tensor, nn


def softmax_backward(gradient: Tensor, output: Tensor) -> Tensor:
    """Return the gradient of softmax over the last dimension at ``output``, as one kernel."""
    return torch._softmax_backward_data(gradient, output, -1, output.dtype)


def attention_implementation(network: Any) -> str:
    """Return the name of the attention implementation that a transformers model uses."""
    name: str = network.config._attn_implementation
    return name


def version(tensor: Tensor) -> int:
    """Return the number of writes into the memory of a tensor."""
    return tensor._version


def hook_count(network: nn.Module) -> int:
    """Return the number of hooks on all modules of a network."""
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks) + len(module._backward_hooks)
        for module in network.modules()
    )
