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


def shares_memory(tensor: Tensor) -> bool:
    """Return whether another tensor, view or array uses the memory of ``tensor``."""
    storage = tensor.untyped_storage()  # itself the second reference
    return torch._C._storage_Use_Count(storage._cdata) > 2


def accumulates(parameter: Tensor) -> bool:
    """Return whether the backward pass that runs adds to ``parameter.grad``; ``autograd.grad`` does not."""
    node = torch.autograd.graph.get_gradient_edge(parameter).node
    try:
        return torch._C._will_engine_execute_node(node)
    except RuntimeError:  # torch refuses to answer for a leaf, but only within autograd.grad
        return False


def hook_count(network: nn.Module) -> int:
    """Return the number of hooks on all modules of a network."""
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks) + len(module._backward_hooks)
        for module in network.modules()
    )
