"""What mine promises beyond the conformance kit."""

import pytest

from harness.methods.conformance import toy
from harness.methods.registry import method_class

METHOD = method_class("mine")


@pytest.mark.parametrize(("size", "differs"), [(0.0, False), (0.1, True)])
def test_noise_alone_tells_it_from_vanilla(size: float, differs: bool) -> None:
    """Without noise the weights are vanilla's to the bit, with it they are others."""
    ours, theirs = toy.encoder(), toy.encoder()
    toy.steps(ours, toy.build(METHOD, size=size))
    toy.steps(theirs, toy.build("vanilla"))
    gap = toy.largest_difference(toy.parameters(ours), toy.parameters(theirs))
    assert (gap > 0) is differs
