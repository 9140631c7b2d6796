"""Tests of mine in addition to the conformance kit."""

import pytest

from harness.methods.conformance import toy
from harness.methods.registry import method_class

METHOD = method_class("mine")


@pytest.mark.parametrize(("size", "differs"), [(0.0, False), (0.1, True)])
def test_only_noise_makes_it_differ_from_vanilla(size: float, differs: bool) -> None:
    """Without noise the weights equal those of vanilla to the bit."""
    encoder, plain = toy.encoder(), toy.encoder()
    toy.steps(encoder, toy.build(METHOD, size=size))
    toy.steps(plain, toy.build("vanilla"))
    difference = toy.largest_difference(toy.parameters(encoder), toy.parameters(plain))
    assert (difference > 0) is differs
