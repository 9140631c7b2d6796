"""What methods share: arithmetic, dropout masks, arguments. The conformance kit tests each method."""

import pytest
import torch

from harness.methods import adversary
from harness.methods.conformance import toy
from harness.methods.foreach import copy_all, lerp_all
from harness.methods.interface import PassCount
from harness.methods.registry import method_class, method_names
from harness.util.errors import HarnessError

FAMILIES = ["bert", "roberta", "electra", "albert", "distilbert", "modernbert", "deberta-v2"]
METHODS = {"creat", "freeat", "freelb", "mat", "pgd", "r3f", "rdrop", "smart", "smart-mtdnn", "vanilla"}


def test_methods_are_found_without_registration() -> None:
    assert set(method_names()) >= METHODS
    with pytest.raises(HarnessError, match="did you mean 'freelb'"):
        method_class("freeelb")


@pytest.mark.parametrize("family", FAMILIES)
def test_shared_dropout_gives_every_pass_of_a_step_the_same_masks(family: str) -> None:
    for mode, equal in (("shared", True), ("independent", False), ("off", True)):
        encoder, batch = toy.encoder(family), toy.batch()
        with encoder.training_step(mode):
            first, second = encoder(batch).logits, encoder(batch).logits
        assert torch.equal(first, second) is equal


def test_the_next_step_draws_new_shared_masks() -> None:
    encoder, logits = toy.encoder(), []
    for _ in range(2):
        with encoder.training_step("shared"):
            logits.append(encoder(toy.batch()).logits)
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
    encoder, batch = toy.encoder(), toy.batch()
    words = encoder.input_embeddings(batch).detach()
    start = adversary.uniform_start(words, batch.attention_mask, 0.3, "l2", encoder.draws)
    assert torch.all(start[batch.attention_mask == 0] == 0)
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
        toy.build(name, **arguments)


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.7, 1.0])
def test_operations_on_lists_of_tensors_equal_loops(weight: float) -> None:
    generator = torch.Generator().manual_seed(0)
    sources, targets, expected = [], [], []
    for shape in ((3,), (2, 5), ()):
        source, target = torch.randn(2, *shape, generator=generator)
        sources.append(source)
        targets.append(target)
        expected.append(torch.lerp(target, source, weight))
    lerp_all(targets, sources, weight)
    assert all(torch.equal(one, other) for one, other in zip(targets, expected, strict=True))
    copy_all(targets, sources)
    assert all(torch.equal(one, other) for one, other in zip(targets, sources, strict=True))


def test_methods_declare_what_they_perturb() -> None:
    origins = {"vanilla": "words", "mat": "words", "smart": "embedded", "smart-mtdnn": "embedded-twice"}
    for name, origin in origins.items():
        method = toy.build(name)
        assert method.perturbs(method.arguments) == origin
    for level in ("words", "embedded", "embedded-twice"):
        method = toy.build("smart-mtdnn", level=level)
        assert method.perturbs(method.arguments) == level


def test_passes_add_up() -> None:
    assert PassCount(1, 2, 3, 4).times(3) == PassCount(3, 6, 9, 12)
