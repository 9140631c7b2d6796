"""Every method keeps the words of the interface, and equals its declared limits."""

import pytest
import torch
from toy import batch, build, encoder, largest_difference, parameters, steps, update

from harness.errors import HarnessError
from harness.methods import adversary
from harness.methods.interface import Passes
from harness.methods.registry import method_class, method_names

METHODS = ["freelb", "mat", "smart", "vanilla"]
SETTINGS = [
    ("vanilla", {}),
    ("freelb", {"steps": 1}),
    ("freelb", {"steps": 4, "norm": "linf"}),
    ("smart", {}),
    ("smart", {"steps": 2, "teacher_weight": 0.0}),
    ("smart", {"weight": 0.0}),
    ("mat", {"steps_delta": 1, "steps_theta": 1}),
    ("mat", {"steps_delta": 3, "steps_theta": 2}),
    ("mat", {"weight": 0.0, "steps_theta": 2}),
]
LIMITS = [(name, limit) for name in METHODS for limit in method_class(name).limits]


def test_methods_are_found_without_registration() -> None:
    assert set(METHODS) <= set(method_names())
    with pytest.raises(HarnessError, match="did you mean 'freelb'"):
        method_class("freeelb")


@pytest.mark.parametrize(("name", "arguments"), SETTINGS)
@pytest.mark.parametrize("outputs", [3, 1])
def test_declared_passes_are_those_counted(name: str, arguments: dict[str, object], outputs: int) -> None:
    made, method = encoder(outputs=outputs), build(name, **arguments)
    steps(made, method, count=2, outputs=outputs)
    assert made.meter.passes() == method.passes(method.arguments).times(2)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("name", "limit"), LIMITS)
@pytest.mark.parametrize("outputs", [3, 1])
def test_limiting_cases(name: str, limit: object, outputs: int) -> None:
    ours, theirs = encoder(outputs=outputs), encoder(outputs=outputs)
    steps(ours, build(name, dropout="off", **limit.arguments), outputs=outputs)
    steps(theirs, build(limit.equals, dropout="off", **limit.equals_arguments), outputs=outputs)
    assert largest_difference(parameters(ours), parameters(theirs)) <= limit.tolerance


@pytest.mark.parametrize(("name", "arguments"), SETTINGS)
def test_nothing_is_left_behind(name: str, arguments: dict[str, object]) -> None:
    made = encoder()
    outer = torch.get_rng_state()
    steps(made, build(name, **arguments))
    assert torch.equal(outer, torch.get_rng_state())
    assert all(p.grad is None and p.requires_grad for p in made.network.parameters())


@pytest.mark.parametrize(("name", "arguments"), SETTINGS)
def test_equal_seeds_give_equal_bits_and_others_differ(name: str, arguments: dict[str, object]) -> None:
    one, two, other = encoder(), encoder(), encoder(seed=1)
    for made in (one, two, other):
        steps(made, build(name, **arguments))
    assert largest_difference(parameters(one), parameters(two)) == 0
    assert largest_difference(parameters(one), parameters(other)) > 0


@pytest.mark.parametrize("name", METHODS)
def test_the_loss_falls_on_a_toy_task(name: str) -> None:
    made, method = encoder(), build(name, dropout="off")
    optimizer, data = update(made, batches=40, learning_rate=1e-2), batch()
    losses = []
    for _ in range(40):
        with made.training_step("off"):
            losses.append(float(method.step(made, data, optimizer)))
    assert losses[-1] < 0.75 * losses[0]


def test_shared_dropout_gives_every_pass_of_a_step_the_same_masks() -> None:
    for mode, equal in (("shared", True), ("independent", False), ("off", True)):
        made = encoder()
        with made.training_step(mode):
            first, second = made(batch()).logits, made(batch()).logits
        assert torch.equal(first, second) is equal


def test_the_next_step_draws_other_masks_after_shared_ones() -> None:
    made = encoder()
    logits = []
    for _ in range(2):
        with made.training_step("shared"):
            logits.append(made(batch()).logits)
    assert not torch.equal(*logits)


def test_state_of_the_teacher_survives() -> None:
    made, method = encoder(), build("smart", early_decay=0.5)
    steps(made, method)
    again = build("smart", early_decay=0.5)
    again.load_state({name: value.clone() for name, value in method.state().items()})
    assert again.seen == method.seen == 3
    assert largest_difference(again.teacher, method.teacher) == 0
    assert largest_difference(method.teacher, parameters(made)) > 0


def test_norms_projections_and_start() -> None:
    generator = torch.Generator().manual_seed(0)
    delta = torch.randn(4, 5, 6, generator=generator)
    for kind in ("l2", "linf"):
        inside = adversary.rescale(delta, 0.5, kind)
        assert torch.all(adversary.norm(inside, kind) <= 0.5 + 1e-6)
        assert torch.equal(adversary.rescale(delta, 1e6, kind), delta)
    assert torch.equal(adversary.rescale(torch.zeros(1, 2, 3), 0.0, "l2"), torch.zeros(1, 2, 3))
    assert adversary.clip(delta, 0.1).abs().max() == pytest.approx(0.1)
    made, data = encoder(), batch()
    words = made.words(data).detach()
    start = adversary.uniform_start(words, data.mask, 0.3, "l2", made.draws)
    assert torch.all(start[data.mask == 0] == 0)
    assert torch.all(adversary.norm(start, "l2") <= 0.3)


def test_consistency_losses_agree_with_the_library_and_stay_finite() -> None:
    generator = torch.Generator().manual_seed(0)
    u, v = torch.randn(2, 7, 3, generator=generator, dtype=torch.float64)
    p, q = u.log_softmax(-1), v.log_softmax(-1)
    forward = torch.nn.functional.kl_div(q, p, log_target=True, reduction="batchmean")
    backward = torch.nn.functional.kl_div(p, q, log_target=True, reduction="batchmean")
    assert torch.allclose(adversary.kl_to(u, v), forward)
    assert torch.allclose(adversary.symmetric_kl(u, v), forward + backward)
    far = torch.tensor([[200.0, 0.0]], requires_grad=True)
    loss = adversary.symmetric_kl(far, -far) + adversary.kl_to(far, -far)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(far.grad).all()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("freelb", {"steps": 0}),
        ("freelb", {"radius": -1.0}),
        ("mat", {"beta_s": 1.5}),
        ("smart", {"noise": 0.0}),
    ],
)
def test_arguments_out_of_range_are_refused(name: str, arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"greater|less"):
        build(name, **arguments)


def test_passes_add_up() -> None:
    assert Passes(1, 2, 3, 4).times(3) == Passes(3, 6, 9, 12)
