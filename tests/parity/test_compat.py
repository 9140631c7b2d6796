"""Private attributes of libraries do what the engine expects of them."""

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

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


@pytest.mark.parametrize(
    "reference",
    [lambda t: t.detach(), lambda t: t.data, lambda t: t[1:], lambda t: t.view(-1), lambda t: t.numpy()],
    ids=["detached", "data", "slice", "view", "array"],
)
def test_memory_is_shared_while_another_reference_exists(reference: Callable[[Tensor], Any]) -> None:
    tensor = torch.zeros(3, 2)
    assert not compat.shares_memory(tensor)
    other = reference(tensor)
    assert compat.shares_memory(tensor)
    del other
    assert not compat.shares_memory(tensor)


class _Asking(torch.autograd.Function):
    """The identity; its backward pass records whether the gradient will be accumulated."""

    answers: ClassVar[list[bool]] = []

    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:
        ctx.weight = weight
        return weight.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        _Asking.answers.append(compat.accumulates(ctx.weight))
        return gradient


def test_a_gradient_is_accumulated_by_backward_and_returned_by_grad() -> None:
    weight = torch.ones(2, requires_grad=True)

    def loss() -> Tensor:
        output: Tensor = _Asking.apply(weight)  # type: ignore[no-untyped-call]
        return output.sum()

    _Asking.answers.clear()
    loss().backward()  # type: ignore[no-untyped-call]
    torch.autograd.grad(loss(), [weight])
    checkpoint(loss, use_reentrant=False).backward()
    assert _Asking.answers == [True, False, True]


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
