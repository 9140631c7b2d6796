"""Perturbed embeddings enter any encoder through its word-embedding layer; packing changes no number."""

import pytest
import torch

from harness.core.packing import can_pack
from harness.methods.conformance.toy import (
    batch,
    build,
    encoder,
    largest_difference,
    network,
    parameters,
    steps,
)

FAMILIES = ["bert", "roberta", "electra", "albert", "distilbert", "modernbert", "deberta-v2"]
PACKED = ["bert", "roberta", "electra"]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_pass_through_embeddings_equals_the_pass_through_ids(family: str) -> None:
    made = encoder(family)
    made.network.eval()
    data = batch()
    clean = made(data)
    assert torch.allclose(made(data, words=made.words(data)).logits, clean.logits, atol=1e-6)
    assert torch.allclose(made(data, embedded=clean.embedded).logits, clean.logits, atol=1e-6)
    moved = made(data, words=made.words(data) + 0.5 * made.draws.normal(made.words(data))).logits
    assert not torch.allclose(moved, clean.logits, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_teachers_parameters_stand_in(family: str) -> None:
    made, other = encoder(family), encoder(family, seed=1)
    made.network.eval(), other.network.eval()
    data = batch()
    assert torch.allclose(made(data, parameters=parameters(other)).logits, other(data).logits, atol=1e-6)
    assert not torch.allclose(made(data).logits, other(data).logits, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_packing_is_used_where_it_can_be(family: str) -> None:
    assert can_pack(network(family)) is (family in [*PACKED, "albert"])


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("family", [*PACKED, "albert"])
@pytest.mark.parametrize("name", ["vanilla", "freelb", "smart", "mat"])
def test_packing_changes_no_number(family: str, name: str) -> None:
    packed, padded = encoder(family), encoder(family, pack=False)
    for made in (packed, padded):
        steps(made, build(name, dropout="off"))
    assert largest_difference(parameters(packed), parameters(padded)) < 1e-9
    assert packed.meter.computed_tokens == packed.meter.tokens == padded.meter.tokens
    assert padded.meter.computed_tokens > padded.meter.tokens


def test_input_gradient_leaves_the_parameters_alone() -> None:
    made, data = encoder(), batch()
    words = made.words(data).detach().requires_grad_()
    gradient = made.input_gradient(made.loss(made(data, words=words).logits, data), words)
    assert gradient.shape == words.shape
    assert torch.all(gradient[data.mask == 0] == 0)
    assert all(p.grad is None for p in made.network.parameters())
    assert (made.meter.backward, made.meter.input_backward) == (0, 1)
