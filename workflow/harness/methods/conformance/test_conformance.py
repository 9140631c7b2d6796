"""What every method must do. The name of a failed test says which requirement is not met."""

import copy
from typing import Any, Literal, get_args, get_origin

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from harness.engine.compat import hook_count
from harness.engine.encoder import Encoder
from harness.engine.recorder import Recorder
from harness.engine.rng import GeneratorDraws
from harness.engine.trainer import train_batch
from harness.methods import adversary
from harness.methods.conformance import toy
from harness.methods.interface import Batch, Method

KINDS = pytest.mark.parametrize("outputs", [3, 1], ids=["classification", "regression"])


def _settings(kind: type[Method]) -> list[dict[str, Any]]:
    """Return the defaults, and changes of one argument at a time: other named values, one more, zero."""
    changes: list[dict[str, Any]] = [{}]
    for argument, field in kind.Arguments.model_fields.items():
        if get_origin(field.annotation) is Literal:
            values = list(get_args(field.annotation))
        elif isinstance(field.default, bool):
            values = [not field.default]
        elif isinstance(field.default, int):
            values = [field.default + 1]
        else:
            values = [0.0]
        others = [value for value in values if value != field.default]
        changes += [{argument: value} for value in others if _allowed(kind, argument, value)]
    return changes


def _allowed(kind: type[Method], argument: str, value: Any) -> bool:
    try:
        kind.Arguments(**{argument: value})
    except ValidationError:
        return False
    return True


def recorded(method: Method) -> tuple[Encoder, Recorder]:
    """Return a toy encoder, and the recorder of what ``method`` feeds into it."""
    encoder, recorder = toy.encoder(), Recorder(method.perturbs(method.arguments))
    encoder.recorder = recorder
    return encoder, recorder


def test_declarations_are_complete(kind: type[Method]) -> None:
    """A method describes itself, and every argument has a description and a default in its range."""
    assert kind.name and kind.summary and kind.citation
    assert kind.name == "vanilla" or kind.limiting_cases, "declare at least one limiting case"
    for argument, field in kind.Arguments.model_fields.items():
        assert field.description, f"{argument} has no description"
        assert not field.is_required(), f"{argument} has no default"
    kind.Arguments()


@KINDS
def test_limiting_cases(kind: type[Method], outputs: int) -> None:
    """With the arguments of a limiting case, the method equals the other method (dropout off)."""
    for limit in kind.limiting_cases:
        one, other = toy.encoder(outputs=outputs), toy.encoder(outputs=outputs)
        toy.steps(one, toy.build(kind, dropout="off", **limit.arguments), outputs=outputs)
        toy.steps(other, toy.build(limit.equals, dropout="off", **limit.equals_arguments), outputs=outputs)
        gap = toy.largest_difference(toy.parameters(one), toy.parameters(other))
        assert gap <= limit.tolerance, f"{limit}: {gap}"


@KINDS
def test_declared_passes_are_those_counted(kind: type[Method], outputs: int) -> None:
    """The cost formula is right for all arguments."""
    for arguments in _settings(kind):
        encoder, method = toy.encoder(outputs=outputs), toy.build(kind, **arguments)
        toy.steps(encoder, method, count=2, outputs=outputs)
        declared = method.passes(method.arguments, outputs == 1).times(2)
        assert encoder.meter.passes() == declared, arguments


def test_the_norm_bound_holds(kind: type[Method]) -> None:
    """No perturbation exceeds the declared bound."""
    for arguments in _settings(kind):
        method = toy.build(kind, **arguments)
        encoder, recorder = recorded(method)
        bound = method.norm_bound(method.arguments)
        toy.steps(encoder, method)
        if bound is not None:
            for perturbation in recorder.perturbations:
                size = float(adversary.norm(perturbation.delta, bound[0]).max())
                assert size <= bound[1] * (1 + 1e-9) + 1e-12, (arguments, size, bound)


def test_perturbations_and_their_padding_are_as_declared(kind: type[Method]) -> None:
    """Perturbations enter where ``perturbs`` says; some, or none, are on padding (``perturbs_padding``)."""
    batch, on_padding = toy.batch(), False
    for arguments in _settings(kind):
        method = toy.build(kind, **arguments)
        encoder, recorder = recorded(method)
        with encoder.training_step(method.arguments.dropout):
            method.step(encoder, batch, toy.optimizer(encoder))
        embedded = method.perturbs(method.arguments) == "embedded"
        levels = {perturbation.level for perturbation in recorder.perturbations}
        assert levels <= {"embedding_output" if embedded else "inputs_embeds"}, arguments
        padding = batch.attention_mask == 0
        on_padding |= any(bool(p.delta[padding].any()) for p in recorder.perturbations)
    assert on_padding == kind.perturbs_padding


def test_nothing_is_left_behind(kind: type[Method]) -> None:
    """A step leaves no gradient, hook or changed mode, and does not change the global random state."""
    encoder, method = toy.encoder(), toy.build(kind)
    hooks = hook_count(encoder.network)
    state = torch.get_rng_state()
    toy.steps(encoder, method)
    assert torch.equal(state, torch.get_rng_state()), "the global random state has changed"
    assert hook_count(encoder.network) == hooks, "a hook is left"
    for parameter_name, parameter in encoder.named_parameters().items():
        assert parameter.grad is None and parameter.requires_grad, parameter_name
    assert all(module.training for module in encoder.network.modules()), "a module is in evaluation mode"


@KINDS
def test_equal_seeds_give_equal_bits(kind: type[Method], outputs: int) -> None:
    """Two runs with the same seed end with the same weights."""
    one, two = toy.encoder(outputs=outputs), toy.encoder(outputs=outputs)
    for encoder in (one, two):
        toy.steps(encoder, toy.build(kind), outputs=outputs)
    assert toy.largest_difference(toy.parameters(one), toy.parameters(two)) == 0


@KINDS
def test_the_fast_kernels_change_no_step(kind: type[Method], outputs: int) -> None:
    """With ``fast: false`` the same weights are trained, also by a method that writes into gradients."""
    weights = []
    with toy.float64_on_one_thread():
        for fast in (True, False):
            encoder = toy.encoder(outputs=outputs, fast=fast)
            toy.steps(encoder, toy.build(kind, dropout="off"), count=4, outputs=outputs)
            weights.append(toy.parameters(encoder))
    assert toy.largest_difference(*weights) < 1e-9


@KINDS
def test_the_order_inside_a_batch_does_not_matter(kind: type[Method], outputs: int) -> None:
    """Permuted examples, with their draws, give the same step, also if the loss couples examples."""
    batch = toy.batch(outputs)
    weights = []
    for order in (torch.arange(4), torch.tensor([2, 0, 3, 1])):
        encoder, method = toy.encoder(outputs=outputs), toy.build(kind, dropout="off")
        encoder.draws = toy.PermutedDraws(0, order)
        permuted = Batch(
            batch.input_ids[order],
            batch.attention_mask[order],
            batch.token_type_ids[order],
            batch.labels[order],
            batch.tokens,
        )
        with encoder.training_step("off"):
            method.step(encoder, permuted, toy.optimizer(encoder, learning_rate=1e-4))
        weights.append(toy.parameters(encoder))
    assert toy.largest_difference(*weights) < 1e-6


@KINDS
def test_the_loss_falls_on_a_toy_task(kind: type[Method], outputs: int) -> None:
    """The method learns one batch."""
    encoder, method, batch = toy.encoder(outputs=outputs), toy.build(kind, dropout="off"), toy.batch(outputs)
    optimizer = toy.optimizer(encoder, batches=40, learning_rate=1e-2)
    losses = []
    for _ in range(40):
        with encoder.training_step("off"):
            losses.append(float(method.step(encoder, batch, optimizer)))
    assert losses[-1] < 0.75 * losses[0]


def test_extreme_logits_stay_finite(kind: type[Method]) -> None:
    """Logits that are 200 apart give finite losses and weights."""
    encoder, method, batch = toy.encoder(), toy.build(kind), toy.batch()
    with torch.no_grad():
        list(encoder.named_parameters().values())[-1].copy_(torch.tensor([200.0, 0.0, -200.0]))
    with encoder.training_step("independent"):
        loss: Tensor = method.step(encoder, batch, toy.optimizer(encoder))
    assert torch.isfinite(loss)
    assert all(bool(torch.isfinite(p).all()) for p in encoder.named_parameters().values())


def test_state_saves_and_restores_to_the_bit(kind: type[Method]) -> None:
    """A method resumed from weights, moments, streams and its state ends with the same weights."""
    uninterrupted = toy.encoder()
    toy.steps(uninterrupted, toy.build(kind), count=4)
    first, method = toy.encoder(), toy.build(kind)
    optimizer = toy.optimizer(first)
    for t in range(2):
        train_batch(first, method, toy.batch(seed=t), optimizer)
    second, resumed = toy.encoder(seed=1), toy.build(kind)
    second.network.load_state_dict(first.network.state_dict())
    second.dropout_stream.state = first.dropout_stream.state
    assert isinstance(first.draws, GeneratorDraws) and isinstance(second.draws, GeneratorDraws)
    second.draws.generator.set_state(first.draws.generator.get_state())
    resumed.load_state({key: value.clone() for key, value in method.state().items()})
    second_optimizer = toy.optimizer(second)
    second_optimizer.load_state(copy.deepcopy(optimizer.state()))
    for t in range(2, 4):
        train_batch(second, resumed, toy.batch(seed=t), second_optimizer)
    assert toy.largest_difference(toy.parameters(uninterrupted), toy.parameters(second)) == 0
