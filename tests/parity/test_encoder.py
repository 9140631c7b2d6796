"""Perturbed embeddings enter an encoder through its word-embedding layer; kernels change no number."""

import pytest
import torch
from transformers import get_linear_schedule_with_warmup

from harness.methods.conformance import toy

FAMILIES = ["bert", "roberta", "electra", "albert", "distilbert", "modernbert", "deberta-v2"]
UNPADDED = ["bert", "roberta", "electra", "albert"]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_pass_through_embeddings_equals_the_pass_through_ids(family: str) -> None:
    encoder, batch = toy.encoder(family), toy.batch()
    encoder.network.eval()
    clean, words = encoder(batch), encoder.input_embeddings(batch)
    assert torch.allclose(encoder(batch, inputs_embeds=words).logits, clean.logits, atol=1e-6)
    embedded = encoder(batch, embedding_output=clean.embedding_output)
    assert torch.allclose(embedded.logits, clean.logits, atol=1e-6)
    moved = encoder(batch, inputs_embeds=words + 0.5 * encoder.draws.normal(words))
    assert not torch.allclose(moved.logits, clean.logits, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_parameters_of_a_teacher_replace_those_of_the_model(family: str) -> None:
    encoder, other, batch = toy.encoder(family), toy.encoder(family, seed=1), toy.batch()
    encoder.network.eval()
    other.network.eval()
    taught = encoder(batch, parameters=toy.parameters(other)).logits
    assert torch.allclose(taught, other(batch).logits, atol=1e-6)
    assert not torch.allclose(encoder(batch).logits, other(batch).logits, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_is_left_out_where_attention_comes_from_the_library(family: str) -> None:
    assert toy.encoder(family).padded is (family not in UNPADDED)
    assert toy.encoder(family, fast=False).padded


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["vanilla", "freelb", "smart", "mat"])
def test_kernels_change_no_number(family: str, name: str) -> None:
    """The parameters after three steps, fast and plain; dropout off."""
    fast, plain = toy.encoder(family), toy.encoder(family, fast=False)
    for encoder in (fast, plain):
        toy.steps(encoder, toy.build(name, dropout="off"))
    assert toy.largest_difference(toy.parameters(fast), toy.parameters(plain)) < 1e-9
    assert fast.meter.passes() == plain.meter.passes()
    assert fast.meter.tokens == plain.meter.tokens < plain.meter.computed_tokens
    assert fast.padded or fast.meter.computed_tokens == fast.meter.tokens


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("family", UNPADDED)
def test_kernels_change_no_logit_and_no_gradient(family: str) -> None:
    batch, logits, gradients = toy.batch(), [], []
    for fast in (True, False):
        encoder = toy.encoder(family, fast=fast)
        with encoder.training_step("off"):
            words = encoder.input_embeddings(batch).detach().requires_grad_()
            result = encoder(batch, inputs_embeds=words)
            to_words = encoder.input_gradient(encoder.loss(result.logits, batch), words)
            encoder.backward(encoder.loss(encoder(batch).logits, batch))
        to_parameters = [p.grad for p in encoder.named_parameters().values() if p.grad is not None]
        logits.append(result.logits)
        gradients.append(torch.cat([gradient.flatten() for gradient in (to_words, *to_parameters)]))
    assert float((logits[0] - logits[1]).detach().abs().max()) < 1e-9
    assert float((gradients[0] - gradients[1]).abs().max()) < 1e-9


def test_the_input_gradient_leaves_parameters_without_gradients() -> None:
    encoder, batch = toy.encoder(), toy.batch()
    words = encoder.input_embeddings(batch).detach().requires_grad_()
    loss = encoder.loss(encoder(batch, inputs_embeds=words).logits, batch)
    gradient = encoder.input_gradient(loss, words)
    assert gradient.shape == words.shape
    assert torch.all(gradient[batch.attention_mask == 0] == 0)
    assert all(p.grad is None for p in encoder.network.parameters())
    assert (encoder.meter.backward, encoder.meter.input_backward) == (0, 1)


def test_a_warm_up_may_be_a_fraction_of_a_batch() -> None:
    """Three warm-up updates of a method with two updates per batch are 1.5 batches."""
    ours = toy.optimizer(toy.encoder(), batches=5, warmup=1.5)
    plain = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    released = get_linear_schedule_with_warmup(plain, num_warmup_steps=3, num_training_steps=10)
    for update in range(10):
        ours.within_batch(update % 2 / 2)
        assert ours.learning_rate == pytest.approx(released.get_last_lr()[0], abs=1e-12), update
        plain.step()
        released.step()
        if update % 2:
            ours.next_batch()
