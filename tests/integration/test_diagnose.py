"""Sizes of perturbations: of given ones, and from the command line."""

from pathlib import Path

import pytest
import torch

from harness.cli import main
from harness.engine.perturbation import last_place, measure
from harness.engine.recorder import Level, Perturbation
from harness.methods.conformance import toy


@pytest.mark.parametrize("level", ["inputs_embeds", "embedding_output"])
def test_sizes_of_a_given_perturbation(level: Level) -> None:
    encoder, batch = toy.encoder(), toy.batch()
    one_token = torch.zeros(4, 9, 16)
    one_token[:, 1, :4] = 0.5
    magnitude = measure(encoder, batch, Perturbation(level, one_token), "fp32")
    assert magnitude.l2 == pytest.approx(1.0)
    assert magnitude.linf == pytest.approx(0.5)
    assert magnitude.resolved and magnitude.loss_change > 100 * magnitude.rounding_change


def test_nothing_is_resolved_where_nothing_is_perturbed() -> None:
    encoder, batch = toy.encoder(), toy.batch()
    magnitude = measure(encoder, batch, Perturbation("inputs_embeds", torch.zeros(4, 9, 16)), "fp32")
    assert not magnitude.resolved
    assert (magnitude.divergence, magnitude.flips, magnitude.logit_change) == (0.0, 0, 0.0)


def test_coarser_precision_resolves_less() -> None:
    encoder, batch = toy.encoder(), toy.batch()
    small = Perturbation("inputs_embeds", 1e-5 * torch.ones(4, 9, 16))
    assert (
        measure(encoder, batch, small, "bf16").rounding_change
        > measure(encoder, batch, small, "fp32").rounding_change
    )


@pytest.mark.parametrize(
    ("precision", "device", "products", "bits"),
    [("fp32", "cpu", "high", 23), ("fp32", "cuda", "highest", 23), ("fp32", "cuda", "high", 10),
     ("bf16", "cuda", "high", 7), ("fp16", "cuda", "highest", 10)],
)  # fmt: skip
def test_the_last_place_is_that_of_the_products(
    precision: str, device: str, products: str, bits: int
) -> None:
    """TF32 has the exponent of fp32 and the 10 bits of fp16."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(products)
    try:
        assert last_place(precision, torch.device(device)) == 2.0**-bits
    finally:
        torch.set_float32_matmul_precision(before)


def test_the_command_prints_a_row_for_each_variant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    variants = ("vanilla", "freelb:start=0.5", "smart", "mat")
    methods = [word for name in variants for word in ("--method", name)]
    options = [
        "--task",
        "stsb",
        "--model",
        "tiny",
        "--steps",
        "2",
        "--batch-size",
        "4",
        "--out",
        str(tmp_path),
    ]
    assert main(["diagnose", *options, *methods]) == 0
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
