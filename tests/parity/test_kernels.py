"""Kernels: each computes what the plain computation gives."""

import itertools
import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.checkpoint import checkpoint

from harness.engine import microbatch
from harness.engine.encoder import Encoder
from harness.engine.kernels import attention, unpadding
from harness.engine.kernels.attention import group_by_length
from harness.engine.kernels.dropout import Dropout, draw_bits, replace_dropout
from harness.engine.kernels.embedding import WordEmbeddings
from harness.engine.kernels.speed_up import speed_up
from harness.methods.conformance import test_conformance, toy
from harness.methods.interface import Method, PassCount
from harness.methods.registry import method_names

LENGTHS = (9, 4, 7, 4, 12, 5)


def first_gradient(encoder: Encoder, name: str, outputs: int) -> dict[str, torch.Tensor]:
    """Return the gradients before the first optimizer step of a method; dropout off."""
    gradients: dict[str, torch.Tensor] = {}
    optimizer, batch = toy.optimizer(encoder, clip_norm=0.0), toy.batch(outputs, LENGTHS)
    plain = optimizer.step

    def step() -> None:
        if not gradients:
            parameters = encoder.named_parameters().items()
            gradients.update({name: p.grad.clone() for name, p in parameters if p.grad is not None})
        plain()

    optimizer.step = step  # type: ignore[method-assign]
    with encoder.training_step("off"):
        toy.build(name, dropout="off").step(encoder, batch, optimizer)
    return gradients


@pytest.mark.parametrize("overhead", [0, 10**9], ids=["many-groups", "one-group"])
@pytest.mark.parametrize("outputs", [3, 1], ids=["classification", "regression"])
@pytest.mark.parametrize("name", method_names())
def test_gradients_equal_those_of_the_plain_padded_batch(
    monkeypatch: pytest.MonkeyPatch, name: str, outputs: int, overhead: int
) -> None:
    monkeypatch.setattr(attention, "OVERHEAD", overhead)
    plain = first_gradient(toy.encoder(outputs=outputs, fast=False), name, outputs)
    fast = first_gradient(toy.encoder(outputs=outputs), name, outputs)
    assert set(fast) == set(plain)
    largest = max(float(g.norm()) for g in plain.values())
    for tensor, gradient in plain.items():
        assert float((fast[tensor] - gradient).norm()) <= 1e-5 * largest, tensor


@pytest.mark.parametrize("name", ["vanilla", "mat"])
def test_gradients_equal_with_padded_attention_over_unpadded_rows(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """As a GPU computes them."""
    plain = first_gradient(toy.encoder(fast=False), name, 3)
    monkeypatch.setattr(unpadding, "in_groups", lambda device: False)
    fast = first_gradient(toy.encoder(), name, 3)
    largest = max(float(g.norm()) for g in plain.values())
    assert all(float((fast[tensor] - plain[tensor]).norm()) <= 1e-5 * largest for tensor in plain)


def test_plain_networks_are_left_as_they_are() -> None:
    network = toy.encoder(fast=False).network
    assert not [m for m in network.modules() if isinstance(m, (Dropout, WordEmbeddings))]
    assert [m for m in toy.encoder().network.modules() if isinstance(m, Dropout)]


def test_groups_are_the_cheapest_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "OVERHEAD", 60)
    lengths = [3, 3, 4, 9, 10, 20]

    def cost(ends: tuple[int, ...]) -> int:
        starts = (0, *ends[:-1])
        return sum(60 + (b - a) * lengths[b - 1] ** 2 for a, b in zip(starts, ends, strict=True))

    inner = [c for n in range(len(lengths)) for c in itertools.combinations(range(1, len(lengths)), n)]
    best = min(cost((*ends, len(lengths))) for ends in inner)
    groups = group_by_length(lengths)
    assert cost(tuple(group.stop for group in groups)) == best < cost((len(lengths),))
    assert [i for group in groups for i in range(group.start, group.stop)] == list(range(len(lengths)))


@pytest.mark.parametrize("probability", [0.1, 0.5])
def test_dropout_has_its_rate_and_mean_and_the_same_mask_in_the_backward_pass(probability: float) -> None:
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
        for quarter in range(4):  # four draws share a word; all of them must be random
            share = float((bits.flatten()[quarter::4] >> place & 1).float().mean())
            assert abs(share - 0.5) < 5 * 0.5 / 50_000**0.5, (place, quarter)


def test_dropout_of_nothing_or_all_is_that_of_torch() -> None:
    network = nn.Sequential(nn.Dropout(0.0), nn.Dropout(1.0))
    replace_dropout(network)
    assert torch.equal(network[0](torch.ones(3)), torch.ones(3))
    assert torch.equal(network[1](torch.ones(3)), torch.zeros(3))


def test_the_word_gradient_in_a_reused_buffer_equals_that_of_torch() -> None:
    """Over steps of two passes each: rows of an earlier step are cleared."""
    plain = nn.Embedding(20, 4, padding_idx=0)
    reused = WordEmbeddings(
        nn.Embedding.from_pretrained(plain.weight.detach().clone(), freeze=False, padding_idx=0)
    )
    for step in range(3):
        for table in (plain, reused):
            for seed in range(2):
                generator = torch.Generator().manual_seed(10 * step + seed)
                ids = torch.randint(0, 20, (3, 5), generator=generator)
                weights = torch.randn(3, 5, 4, generator=generator)
                (table(ids) * weights).sum().backward()
        assert plain.weight.grad is not None and reused.weight.grad is not None
        assert torch.allclose(plain.weight.grad, reused.weight.grad, atol=1e-6)
        plain.weight.grad = reused.weight.grad = None


def look_up(table: nn.Embedding, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 20, (3, 5), generator=generator)
    (table(ids) * torch.randn(3, 5, 4, generator=generator)).sum().backward()


def penalise(table: nn.Embedding, seed: int) -> None:
    (seed * table.weight.square().sum()).backward()


def add_noise(table: nn.Embedding, seed: int) -> None:
    if table.weight.grad is not None:
        table.weight.grad.add_(0.01 * seed)


def add_noise_to_data(table: nn.Embedding, seed: int) -> None:
    if table.weight.grad is not None:
        table.weight.grad.data.add_(0.01 * seed)


def overwrite_as_an_array(table: nn.Embedding, seed: int) -> None:
    if table.weight.grad is not None:
        table.weight.grad.numpy()[seed] = 1.0


def clip(table: nn.Embedding, seed: int) -> None:
    nn.utils.clip_grad_norm_([table.weight], 0.1 * (seed + 1))


def clear(table: nn.Embedding, seed: int) -> None:
    table.weight.grad = None


def fill_with_zeros(table: nn.Embedding, seed: int) -> None:
    table.zero_grad(set_to_none=False)


WRITES = (
    look_up,
    penalise,
    add_noise,
    add_noise_to_data,
    overwrite_as_an_array,
    clip,
    clear,
    fill_with_zeros,
)


@given(st.lists(st.tuples(st.sampled_from(WRITES), st.integers(0, 9)), max_size=12))
@example([(look_up, 1), (add_noise_to_data, 3), (clear, 0), (look_up, 2)])
@example([(look_up, 1), (overwrite_as_an_array, 3), (clear, 0), (look_up, 2)])
@settings(max_examples=200, deadline=None)
def test_whatever_writes_into_the_word_gradient_it_equals_that_of_torch(writes: list[Any]) -> None:
    plain = nn.Embedding(20, 4, padding_idx=0)
    reused = WordEmbeddings(
        nn.Embedding.from_pretrained(plain.weight.detach().clone(), freeze=False, padding_idx=0)
    )
    for write, seed in writes:
        for table in (plain, reused):
            write(table, seed)
        if plain.weight.grad is None:
            assert reused.weight.grad is None
        else:
            assert reused.weight.grad is not None
            assert torch.allclose(plain.weight.grad, reused.weight.grad, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "keep",
    [lambda g: g, lambda g: g.detach(), lambda g: g.data, lambda g: g.flatten(), lambda g: g[1:].numpy()],
    ids=["itself", "detached", "data", "view", "array"],
)
def test_a_gradient_that_is_kept_is_not_overwritten(keep: Callable[[torch.Tensor], Any]) -> None:
    table = WordEmbeddings(nn.Embedding(20, 4))
    look_up(table, 1)
    assert table.weight.grad is not None
    kept = keep(table.weight.grad)
    before = torch.as_tensor(kept).clone()
    table.weight.grad = None
    look_up(table, 2)
    assert torch.equal(torch.as_tensor(kept), before)


def test_the_memory_of_a_gradient_that_nobody_keeps_is_used_again() -> None:
    table, places = WordEmbeddings(nn.Embedding(20, 4)), set()
    for seed in range(4):
        look_up(table, seed)
        assert table.weight.grad is not None
        places.add(table.weight.grad.data_ptr())
        table.weight.grad = None
    assert len(places) == 1


@pytest.mark.parametrize("padding", [None, 0])
def test_the_word_gradient_that_grad_returns_is_that_of_torch(padding: int | None) -> None:
    plain = nn.Embedding(20, 4, padding_idx=padding)
    reused = WordEmbeddings(
        nn.Embedding.from_pretrained(plain.weight.detach().clone(), freeze=False, padding_idx=padding)
    )
    ids = torch.tensor([[1, 2, 2], [3, 0, 0]])
    gradients = []
    for table in (plain, reused):
        loss = table(ids).square().sum() + table(ids[:1]).sum() + table.weight.sum()
        gradients += torch.autograd.grad(loss, [table.weight])
        assert table.weight.grad is None
    assert torch.allclose(*gradients)


class Penalty(Method):
    """A method with a penalty on the distance from the first weights (L2-SP), and noise on the gradient."""

    name = "penalty"

    @classmethod
    def passes(cls, arguments: Any, regression: bool = False) -> PassCount:
        return PassCount(forward=1, backward=1, optimizer_steps=1)

    def gradient(self, model: Any, batch: Any) -> torch.Tensor:
        parameters = model.named_parameters()
        if not hasattr(self, "first"):
            self.first = {name: p.detach().clone() for name, p in parameters.items()}
        penalty = sum((p - self.first[name]).square().sum() for name, p in parameters.items())
        loss = model.loss(model(batch).logits, batch) + penalty
        model.backward(loss)
        for parameter in parameters.values():
            if parameter.grad is not None:
                parameter.grad.add_(0.01)
        return loss.detach()


def test_the_conformance_kit_holds_for_a_method_that_writes_into_gradients() -> None:
    test_conformance.test_the_fast_kernels_change_no_step(Penalty, 3)


def test_every_part_of_a_batch_hands_its_device_to_the_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """``checkpoint`` saves the random state of the devices of tensors among its arguments, and no other."""
    devices: list[set[torch.device]] = []

    def recorded(function: Any, *arguments: Any, **options: Any) -> Any:
        devices.append({a.device for a in arguments if isinstance(a, torch.Tensor)})
        return checkpoint(function, *arguments, **options)

    monkeypatch.setattr(microbatch, "checkpoint", recorded)
    encoder = toy.encoder()
    encoder.micro_batch = 1
    for name in ("vanilla", "mat", "creat"):
        toy.steps(encoder, toy.build(name), count=1)
    assert len(devices) > 12 and all(devices)


def test_word_weights_that_replace_those_of_the_network_get_their_gradient() -> None:
    encoder, batch = toy.encoder(), toy.batch()
    replacements = {
        name: p.detach().clone().requires_grad_() for name, p in encoder.named_parameters().items()
    }
    with encoder.training_step("off"):
        loss = encoder.loss(encoder(batch, parameters=replacements).logits, batch)
        gradients = torch.autograd.grad(loss, list(replacements.values()), allow_unused=True)
    assert all(gradient is not None and bool(gradient.any()) for gradient in gradients[:1])
    assert all(p.grad is None for p in encoder.network.parameters())


def firsts_only(network: Any) -> bool:
    unpadding = speed_up(network)
    assert unpadding is not None
    return unpadding.firsts_only


def test_only_first_tokens_where_the_head_reads_no_others() -> None:
    assert firsts_only(toy.network("bert"))
    two: Any = toy.network("bert")
    two.bert.pooler.forward = lambda states: states[:, :2].mean(1)
    assert not firsts_only(two)
    assert not firsts_only(toy.network("albert"))  # its layers are one: the last layer is all of them


def test_a_head_that_reads_padding_keeps_it() -> None:
    averaging: Any = toy.network("bert")
    averaging.bert.pooler.forward = lambda states: states.mean(1)
    assert speed_up(averaging) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda layer: lambda states, *rest, **more: (states / 0).nan_to_num(0.3), "its logits differ"),
        (lambda layer: lambda *_, **__: [][0], "it raises IndexError: list index out of range"),
    ],
    ids=["other-logits", "error"],
)
def test_a_network_that_cannot_be_unpadded_trains_padded_with_one_line_in_the_log(
    caplog: pytest.LogCaptureFixture, change: Any, reason: str
) -> None:
    network: Any = toy.network("bert")
    layer = network.bert.encoder.layer[0]
    plain, other = layer.forward, change(layer)

    def forward(hidden_states: torch.Tensor, *rest: Any, **more: Any) -> Any:
        padded = hidden_states.shape[0] > 1  # unpadded rows are one long text
        return (plain if padded else other)(hidden_states, *rest, **more)

    layer.forward = forward
    with caplog.at_level(logging.INFO):
        encoder = Encoder(
            network,
            regression=False,
            draws=toy.GeneratorDraws(0, toy.CPU),
            dropout_stream=toy.GlobalStream(0, toy.CPU),
        )
    assert encoder.padded
    assert caplog.messages == [f"model type bert trains with padding: without padding {reason}"]
    toy.steps(encoder, toy.build("mat", dropout="off"))
    library = toy.encoder(fast=False)
    toy.steps(library, toy.build("mat", dropout="off"))
    assert toy.largest_difference(toy.parameters(encoder), toy.parameters(library)) < 1e-6
