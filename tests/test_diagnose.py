"""Sizes of perturbations: from known ones, and from the command line."""

import pytest
import torch

from harness.cli import main
from harness.core.magnitude import measure
from harness.core.watch import Perturbation
from harness.methods.conformance import toy


@pytest.mark.parametrize("level", ["words", "embedded"])
def test_sizes_of_a_known_perturbation(level: str) -> None:
    made, data = toy.encoder(), toy.batch()
    one_token = torch.zeros(4, 9, 16)
    one_token[:, 1, :4] = 0.5
    found = measure(made, data, Perturbation(level, one_token), "fp32")
    assert found.l2 == pytest.approx(1.0)
    assert found.linf == pytest.approx(0.5)
    assert found.resolved and found.loss_change > 100 * found.rounding_change


def test_nothing_is_resolved_where_nothing_is_perturbed() -> None:
    made, data = toy.encoder(), toy.batch()
    found = measure(made, data, Perturbation("words", torch.zeros(4, 9, 16)), "fp32")
    assert not found.resolved
    assert (found.divergence, found.flips, found.logit_change) == (0.0, 0, 0.0)


def test_coarser_precision_resolves_less() -> None:
    made, data = toy.encoder(), toy.batch()
    small = Perturbation("words", 1e-5 * torch.ones(4, 9, 16))
    assert (
        measure(made, data, small, "bf16").rounding_change
        > measure(made, data, small, "fp32").rounding_change
    )


def test_the_command_prints_a_row_for_each_variant(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: ANN001
    asked = [word for name in ("vanilla", "freelb:start=0.5", "smart", "mat") for word in ("--method", name)]
    where = ["--task", "stsb", "--model", "tiny", "--steps", "2", "--batch-size", "4", "--out", str(tmp_path)]
    assert main(["diagnose", *where, *asked]) == 0
    lines = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert lines["vanilla"] == ["vanilla"]
    for name in ("freelb:start=0.5", "smart", "mat"):
        assert float(lines[name][1]) > 0 and lines[name][-1] in ("True", "False")


@pytest.mark.parametrize(
    ("method", "part"), [("freelb:steps", "expected argument=value"), ("frelb", "did you mean")]
)
def test_a_wrong_variant_is_a_plain_error(method: str, part: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnose", "--task", "stsb", "--model", "tiny", "--method", method]) == 1
    assert part in capsys.readouterr().err
