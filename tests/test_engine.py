"""The fast ways to compute a step: each gives what the plain way gives."""

import itertools
from typing import Any

import pytest
import torch
from torch import nn

from harness.core import attention, encoder, packing
from harness.core.attention import cut
from harness.core.dropout import Dropout, draw_bits, replace_dropout
from harness.core.encoder import Encoder
from harness.core.packing import Packing
from harness.core.rows import WordRows
from harness.methods.conformance import toy
from harness.methods.registry import method_names

LENGTHS = (9, 4, 7, 4, 12, 5)


def plain_encoder(monkeypatch: pytest.MonkeyPatch, outputs: int) -> Encoder:
    """Return a padded encoder with the library's own attention, dropout and embedding gradient."""
    with monkeypatch.context() as patch:
        patch.setattr(encoder, "replace_dropout", lambda network: None)
        patch.setattr(encoder, "keep_word_gradient", lambda network: None)
        return toy.encoder(outputs=outputs, pack=False)


def first_gradient(made: Encoder, name: str, outputs: int) -> dict[str, torch.Tensor]:
    """Return what enters the first optimizer call of a method's step; dropout off."""
    found: dict[str, torch.Tensor] = {}
    optimizer, data = toy.update(made, clip_norm=0.0), toy.batch(outputs, LENGTHS)
    plain = optimizer.step

    def step() -> None:
        if not found:
            found.update(
                {n: p.grad.clone() for n, p in made.named_parameters().items() if p.grad is not None}
            )
        plain()

    optimizer.step = step  # type: ignore[method-assign]
    with made.training_step("off"):
        toy.build(name, dropout="off").step(made, data, optimizer)
    return found


@pytest.mark.parametrize("overhead", [0, 10**9], ids=["many-groups", "one-group"])
@pytest.mark.parametrize("outputs", [3, 1], ids=["classification", "regression"])
@pytest.mark.parametrize("name", method_names())
def test_gradients_equal_those_of_the_plain_padded_batch(
    monkeypatch: pytest.MonkeyPatch, name: str, outputs: int, overhead: int
) -> None:
    monkeypatch.setattr(attention, "OVERHEAD", overhead)
    plain = first_gradient(plain_encoder(monkeypatch, outputs), name, outputs)
    ours = first_gradient(toy.encoder(outputs=outputs), name, outputs)
    assert set(ours) == set(plain)
    largest = max(float(g.norm()) for g in plain.values())
    for tensor, gradient in plain.items():
        assert float((ours[tensor] - gradient).norm()) <= 1e-5 * largest, tensor


@pytest.mark.parametrize("name", ["vanilla", "mat"])
def test_so_do_those_of_padded_attention_over_packed_rows(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """As a GPU computes them."""
    plain = first_gradient(plain_encoder(monkeypatch, 3), name, 3)
    monkeypatch.setattr(packing, "in_groups", lambda device: False)
    ours = first_gradient(toy.encoder(), name, 3)
    largest = max(float(g.norm()) for g in plain.values())
    assert all(float((ours[tensor] - plain[tensor]).norm()) <= 1e-5 * largest for tensor in plain)


def test_groups_are_the_cheapest_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "OVERHEAD", 60)
    lengths = [3, 3, 4, 9, 10, 20]

    def cost(ends: tuple[int, ...]) -> int:
        starts = (0, *ends[:-1])
        return sum(60 + (b - a) * lengths[b - 1] ** 2 for a, b in zip(starts, ends, strict=True))

    inner = [c for n in range(len(lengths)) for c in itertools.combinations(range(1, len(lengths)), n)]
    best = min(cost((*ends, len(lengths))) for ends in inner)
    found = cut(lengths)
    assert cost(tuple(group.stop for group in found)) == best < cost((len(lengths),))
    assert [i for group in found for i in range(group.start, group.stop)] == list(range(len(lengths)))


@pytest.mark.parametrize("probability", [0.1, 0.5])
def test_dropout_keeps_its_rate_and_mean_and_the_same_elements_behind(probability: float) -> None:
    count = 400_000
    values = torch.ones(count, requires_grad=True)
    dropped = Dropout(probability)(values)
    dropped.backward(torch.ones(count))
    deviation = (probability * (1 - probability) / count) ** 0.5
    assert abs(float((dropped == 0).float().mean()) - probability) < 5 * deviation
    assert abs(float(dropped.detach().mean()) - 1) < 5 * deviation / (1 - probability)
    assert values.grad is not None and torch.equal(values.grad, dropped)
    assert torch.equal(Dropout(probability).eval()(values), values)


def test_every_bit_of_a_draw_is_random() -> None:
    bits = draw_bits(torch.empty(4, 50_000))
    for place in range(16):
        for quarter in range(4):  # four draws share a word: its last ones are no less random
            share = float((bits.flatten()[quarter::4] >> place & 1).float().mean())
            assert abs(share - 0.5) < 5 * 0.5 / 50_000**0.5, (place, quarter)


def test_dropout_that_drops_nothing_or_all_is_torchs() -> None:
    network = nn.Sequential(nn.Dropout(0.0), nn.Dropout(1.0))
    replace_dropout(network)
    assert torch.equal(network[0](torch.ones(3)), torch.ones(3))
    assert torch.equal(network[1](torch.ones(3)), torch.zeros(3))


def test_the_kept_word_gradient_equals_torchs() -> None:
    """Over steps of two passes each: what an earlier step touched is cleared."""
    plain = nn.Embedding(20, 4, padding_idx=0)
    kept = WordRows(nn.Embedding.from_pretrained(plain.weight.detach().clone(), freeze=False, padding_idx=0))
    for step in range(3):
        for table in (plain, kept):
            for seed in range(2):
                generator = torch.Generator().manual_seed(10 * step + seed)
                ids = torch.randint(0, 20, (3, 5), generator=generator)
                weights = torch.randn(3, 5, 4, generator=generator)
                (table(ids) * weights).sum().backward()
        assert plain.weight.grad is not None and kept.weight.grad is not None
        assert torch.allclose(plain.weight.grad, kept.weight.grad, atol=1e-6)
        plain.weight.grad = kept.weight.grad = None


def test_a_stand_in_for_the_word_weights_gets_its_gradient() -> None:
    made, data = toy.encoder(), toy.batch()
    stand_in = {name: p.detach().clone().requires_grad_() for name, p in made.named_parameters().items()}
    with made.training_step("off"):
        loss = made.loss(made(data, parameters=stand_in).logits, data)
        gradients = torch.autograd.grad(loss, list(stand_in.values()), allow_unused=True)
    assert all(gradient is not None and bool(gradient.any()) for gradient in gradients[:1])
    assert all(p.grad is None for p in made.network.parameters())


def test_first_tokens_alone_where_the_head_reads_no_more() -> None:
    assert Packing(toy.network("bert"))._firsts_only
    averaging: Any = toy.network("bert")
    averaging.bert.pooler.forward = lambda states: states.mean(1)
    assert not Packing(averaging)._firsts_only
    assert not Packing(toy.network("albert"))._firsts_only  # its layers are one: the last is all of them
