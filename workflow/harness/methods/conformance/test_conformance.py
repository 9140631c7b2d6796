"""What every method must keep. Each failure says which promise is broken."""

import copy
from typing import Any, Literal, get_args, get_origin

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from harness.core.encoder import Encoder
from harness.core.loop import train_batch
from harness.core.streams import GeneratorDraws
from harness.core.watch import Watch
from harness.methods import adversary
from harness.methods.conformance import toy
from harness.methods.interface import Batch, Method

KINDS = pytest.mark.parametrize("outputs", [3, 1], ids=["classification", "regression"])


def settings(kind: type[Method]) -> list[dict[str, Any]]:
    """Return the defaults, and each argument changed alone: other named values, one step more, zero."""
    found: list[dict[str, Any]] = [{}]
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
        found += [{argument: value} for value in others if _allowed(kind, argument, value)]
    return found


def _allowed(kind: type[Method], argument: str, value: Any) -> bool:
    try:
        kind.Arguments(**{argument: value})
    except ValidationError:
        return False
    return True


def watched() -> tuple[Encoder, Watch]:
    """Return a toy encoder, and the notes of what a method feeds it."""
    made, watch = toy.encoder(), Watch()
    made.watch = watch
    return made, watch


def test_declarations_are_complete(kind: type[Method]) -> None:
    """A method says what it is, and every argument has a default, a description and fits its range."""
    assert kind.name and kind.summary and kind.citation
    assert kind.name == "vanilla" or kind.limits, "declare at least one limiting case"
    for argument, field in kind.Arguments.model_fields.items():
        assert field.description, f"{argument} has no description"
        assert not field.is_required(), f"{argument} has no default"
    kind.Arguments()


@KINDS
def test_limiting_cases(kind: type[Method], outputs: int) -> None:
    """With the declared arguments the method equals its limit, dropout off."""
    for limit in kind.limits:
        ours, theirs = toy.encoder(outputs=outputs), toy.encoder(outputs=outputs)
        toy.steps(ours, toy.build(kind, dropout="off", **limit.arguments), outputs=outputs)
        toy.steps(theirs, toy.build(limit.equals, dropout="off", **limit.equals_arguments), outputs=outputs)
        gap = toy.largest_difference(toy.parameters(ours), toy.parameters(theirs))
        assert gap <= limit.tolerance, f"{limit}: {gap}"


@KINDS
def test_declared_passes_are_those_counted(kind: type[Method], outputs: int) -> None:
    """The cost formula holds for every setting."""
    for arguments in settings(kind):
        made, method = toy.encoder(outputs=outputs), toy.build(kind, **arguments)
        toy.steps(made, method, count=2, outputs=outputs)
        declared = method.passes(method.arguments, outputs == 1).times(2)
        assert made.meter.passes() == declared, arguments


def test_the_norm_bound_holds(kind: type[Method]) -> None:
    """No perturbation exceeds the declared bound."""
    for arguments in settings(kind):
        (made, watch), method = watched(), toy.build(kind, **arguments)
        bound = method.bound(method.arguments)
        toy.steps(made, method)
        if bound is not None:
            for found in watch.perturbations:
                size = float(adversary.norm(found.delta, bound[0]).max())
                assert size <= bound[1] * (1 + 1e-9) + 1e-12, (arguments, size, bound)


def test_perturbs_padding_is_true_to_its_word(kind: type[Method]) -> None:
    """False: padding is never perturbed. True: in some setting it is."""
    data, touched = toy.batch(), False
    for arguments in settings(kind):
        (made, watch), method = watched(), toy.build(kind, **arguments)
        with made.training_step(method.arguments.dropout):
            method.step(made, data, toy.update(made))
        touched |= any(bool(p.delta[data.mask == 0].any()) for p in watch.perturbations)
    assert touched == kind.perturbs_padding


def test_nothing_is_left_behind(kind: type[Method]) -> None:
    """No gradient, hook, mode or requires_grad change; the outer random state stands."""
    made, method = toy.encoder(), toy.build(kind)
    hooks = _hooks(made)
    outer = torch.get_rng_state()
    toy.steps(made, method)
    assert torch.equal(outer, torch.get_rng_state()), "the global random state was moved"
    assert _hooks(made) == hooks, "a hook was left"
    for parameter_name, parameter in made.named_parameters().items():
        assert parameter.grad is None and parameter.requires_grad, parameter_name
    assert all(module.training for module in made.network.modules()), "a module was left in evaluation mode"


def _hooks(made: Encoder) -> int:
    return sum(
        len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks)
        for m in made.network.modules()
    )


@KINDS
def test_equal_seeds_give_equal_bits(kind: type[Method], outputs: int) -> None:
    """Two equal runs end in the same weights."""
    one, two = toy.encoder(outputs=outputs), toy.encoder(outputs=outputs)
    for made in (one, two):
        toy.steps(made, toy.build(kind), outputs=outputs)
    assert toy.largest_difference(toy.parameters(one), toy.parameters(two)) == 0


@KINDS
def test_the_order_inside_a_batch_does_not_matter(kind: type[Method], outputs: int) -> None:
    """Examples and their draws permuted alike give the same step, unless the method couples examples."""
    if kind.couples_examples:
        pytest.skip("its examples are coupled by declaration: no order is promised")
    data = toy.batch(outputs)
    after = []
    for order in (torch.arange(4), torch.tensor([2, 0, 3, 1])):
        made, method = toy.encoder(outputs=outputs), toy.build(kind, dropout="off")
        made.draws = toy.PermutedDraws(0, order)
        permuted = Batch(
            data.ids[order], data.mask[order], data.types[order], data.labels[order], data.tokens
        )
        with made.training_step("off"):
            method.step(made, permuted, toy.update(made, learning_rate=1e-4))
        after.append(toy.parameters(made))
    assert toy.largest_difference(*after) < 1e-6


@KINDS
def test_the_loss_falls_on_a_toy_task(kind: type[Method], outputs: int) -> None:
    """The method learns one batch."""
    made, method, data = toy.encoder(outputs=outputs), toy.build(kind, dropout="off"), toy.batch(outputs)
    optimizer = toy.update(made, batches=40, learning_rate=1e-2)
    losses = []
    for _ in range(40):
        with made.training_step("off"):
            losses.append(float(method.step(made, data, optimizer)))
    assert losses[-1] < 0.75 * losses[0]


def test_extreme_logits_stay_finite(kind: type[Method]) -> None:
    """Logits 200 apart give finite losses and weights."""
    made, method, data = toy.encoder(), toy.build(kind), toy.batch()
    with torch.no_grad():
        list(made.named_parameters().values())[-1].copy_(torch.tensor([200.0, 0.0, -200.0]))
    with made.training_step("independent"):
        loss: Tensor = method.step(made, data, toy.update(made))
    assert torch.isfinite(loss)
    assert all(bool(torch.isfinite(p).all()) for p in made.named_parameters().values())


def test_state_saves_and_restores_to_the_bit(kind: type[Method]) -> None:
    """Made anew from weights, moments, streams and its own state, a method goes on as it would have."""
    whole = toy.encoder()
    toy.steps(whole, toy.build(kind), count=4)
    first, method = toy.encoder(), toy.build(kind)
    optimizer = toy.update(first)
    for t in range(2):
        train_batch(first, method, toy.batch(seed=t), optimizer)
    second, again = toy.encoder(seed=1), toy.build(kind)
    second.network.load_state_dict(first.network.state_dict())
    second._dropout_stream.state = first._dropout_stream.state
    assert isinstance(first.draws, GeneratorDraws) and isinstance(second.draws, GeneratorDraws)
    second.draws.generator.set_state(first.draws.generator.get_state())
    again.load_state({key: value.clone() for key, value in method.state().items()})
    resumed = toy.update(second)
    resumed.load_state(copy.deepcopy(optimizer.state()))
    for t in range(2, 4):
        train_batch(second, again, toy.batch(seed=t), resumed)
    assert toy.largest_difference(toy.parameters(whole), toy.parameters(second)) == 0
