"""Parity with the authors' codes, on traces recorded while those ran."""

from pathlib import Path

import pytest
from golden import TOLERANCE, expected_loss, largest_state_difference, load_case, replay

from baselines import freelb
from harness.methods import adversary
from mat import langevin

TRACKED = Path(__file__).parent / "data" / "golden"
SHARED = Path(__file__).parents[2] / "shared" / "golden"
CASES = ["vanilla", "freelb_hf_l2", "mat_intended"]
MORE = ["vanilla_reg", "freelb_hf_linf", "freelb_hf_init0", "freelb_hf_reg", "mat_intended_reg"]

pytestmark = pytest.mark.usefixtures("float64")


def parity(folder: Path, name: str, pack: bool = False) -> float:
    case = load_case(folder, name, pack)
    worst = 0.0
    for t, loss in replay(case):
        worst = max(worst, abs(loss - expected_loss(case.facts, t)))
        if f"state/step{t}/classifier.weight" in case.tensors:
            worst = max(worst, largest_state_difference(case, t))
    return worst


@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_losses_and_parameters_equal_the_recorded_ones(name: str, pack: bool) -> None:
    assert parity(TRACKED, name, pack) < TOLERANCE


@pytest.mark.skipif(not SHARED.is_dir(), reason="the whole set of traces is not here")
@pytest.mark.parametrize("name", MORE)
def test_more_traces(name: str) -> None:
    assert parity(SHARED, name) < TOLERANCE


@pytest.mark.parametrize(
    ("name", "module", "rule", "wrong"),
    [
        ("freelb_hf_l2", adversary, "rescale", lambda delta, radius, kind: adversary.clip(delta, radius)),
        ("freelb_hf_l2", adversary, "norm", lambda delta, kind: delta.norm(dim=2, keepdim=True)),
        ("freelb_hf_l2", freelb.FreeLB, "_ascend", lambda self, delta: delta.detach()),
        ("mat_intended", adversary, "unit", lambda gradient, kind: gradient),
        ("mat_intended", adversary, "rescale", lambda delta, radius, kind: delta),
        (
            "mat_intended",
            adversary,
            "symmetric_kl",
            lambda u, v: adversary.kl_to(u, v) + adversary.kl_to(v, u),
        ),
        ("mat_intended", langevin, "deviation", lambda step, base, ratio: 0.0),
        ("mat_intended", langevin, "average", lambda mean, sample, decay: None),
    ],
)
def test_a_wrong_rule_is_seen(
    monkeypatch: pytest.MonkeyPatch, name: str, module: object, rule: str, wrong: object
) -> None:
    monkeypatch.setattr(module, rule, wrong)
    try:
        assert parity(TRACKED, name) > 100 * TOLERANCE
    except AssertionError as error:
        assert "draws left over" in str(error)
