"""What methods share: arithmetic, dropout masks, arguments. (Each method: the conformance kit.)"""

import pytest
import torch

from harness.errors import HarnessError
from harness.methods import adversary
from harness.methods.conformance.toy import (
    batch,
    build,
    encoder,
)
from harness.methods.interface import Passes
from harness.methods.registry import method_class, method_names

FAMILIES = ["bert", "roberta", "electra", "albert", "distilbert", "modernbert", "deberta-v2"]
METHODS = {"creat", "freeat", "freelb", "mat", "pgd", "r3f", "rdrop", "smart", "smart-mtdnn", "vanilla"}


def test_methods_are_found_without_registration() -> None:
    assert set(method_names()) >= METHODS
    with pytest.raises(HarnessError, match="did you mean 'freelb'"):
        method_class("freeelb")


@pytest.mark.parametrize("family", FAMILIES)
def test_shared_dropout_gives_every_pass_of_a_step_the_same_masks(family: str) -> None:
    for mode, equal in (("shared", True), ("independent", False), ("off", True)):
        made = encoder(family)
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
