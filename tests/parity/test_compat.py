"""Private attributes of libraries do what the engine expects of them."""

import pytest
import torch

from harness.engine import compat
from harness.methods.conformance import toy


@pytest.mark.usefixtures("float64")
def test_the_backward_pass_of_softmax_is_that_of_autograd() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(4, 3, 5, generator=generator, requires_grad=True)
    gradient = torch.randn(4, 3, 5, generator=generator)
    output = scores.softmax(-1)
    output.backward(gradient)
    assert scores.grad is not None
    assert torch.allclose(compat.softmax_backward(gradient, output.detach()), scores.grad, atol=1e-14)


def test_the_attention_implementation_is_the_one_that_was_set() -> None:
    network = toy.network("bert")
    for name in ("eager", "sdpa"):
        network.set_attn_implementation(name)
        assert compat.attention_implementation(network) == name


def test_every_write_into_a_tensor_raises_its_version() -> None:
    tensor = torch.zeros(3, 2)
    start = compat.version(tensor)
    tensor.index_add_(0, torch.tensor([1]), torch.ones(1, 2))
    torch._foreach_mul_([tensor], 0.5)
    with torch.no_grad():
        tensor.add_(1.0)
    assert compat.version(tensor) == start + 3
    tensor.sum()
    assert compat.version(tensor) == start + 3


def test_hooks_are_counted() -> None:
    network = toy.network("bert")
    count = compat.hook_count(network)
    hooks = [
        network.register_forward_hook(lambda *_: None),
        network.bert.register_forward_pre_hook(lambda *_: None),
        network.classifier.register_full_backward_hook(lambda *_: None),
    ]
    assert compat.hook_count(network) == count + 3
    for hook in hooks:
        hook.remove()
    assert compat.hook_count(network) == count
