"""If the arithmetic of a method changes, NUMERICS must be raised, so that old results are not reused.

``python tests/parity/test_fingerprint.py`` rewrites the file; run it after raising NUMERICS.
"""

import json
from pathlib import Path

import pytest
import torch

from harness.config import catalogue
from harness.engine.encoder import Encoder
from harness.methods.conformance import toy
from harness.methods.registry import method_class
from harness.plan.keys import NUMERICS

FILE = Path(__file__).parents[1] / "data" / "fingerprints.json"
KERNELS = {"unpadded": ("bert", True), "padded": ("deberta-v2", True), "plain": ("bert", False)}
"""Without padding; with padding and the other kernels; the library's plain model: family, and ``fast``."""
VARIANTS = {
    f"{variant.method} {json.dumps(variant.arguments, sort_keys=True)}": variant
    for variant in catalogue.variants().values()
}
"""One of the variants with equal arguments."""
TOLERANCE = 1e-9


def encoder(kernels: str, outputs: int) -> Encoder:
    family, fast = KERNELS[kernels]
    made = toy.encoder(family, outputs, fast=fast)
    assert made.padded == (kernels != "unpadded")
    return made


def fingerprint(variant: str, kernels: str, outputs: int) -> list[float]:
    """Return three projections of the parameters after three steps with dropout, in float64."""
    method, arguments = VARIANTS[variant].method, VARIANTS[variant].arguments
    kind = method_class(method)
    made = encoder(kernels, outputs)
    toy.steps(made, kind(kind.Arguments(**arguments)), count=3, outputs=outputs)
    flat = torch.cat([p.flatten() for p in toy.parameters(made).values()])
    positions = torch.arange(len(flat), dtype=flat.dtype)
    return [float((flat * torch.cos(positions * k)).sum()) for k in range(1, 4)]


def fingerprints(kernels: str, outputs: int) -> dict[str, list[float]]:
    return {variant: fingerprint(variant, kernels, outputs) for variant in VARIANTS}


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("outputs", [3, 1], ids=["classification", "regression"])
@pytest.mark.parametrize("kernels", KERNELS)
def test_bits_change_only_with_numerics(kernels: str, outputs: int) -> None:
    stored = json.loads(FILE.read_text())
    command = "python tests/parity/test_fingerprint.py"
    assert stored["numerics"] == NUMERICS, f"NUMERICS was raised: run `{command}`"
    expected = stored[f"{kernels}-{outputs}"]
    assert expected.keys() == VARIANTS.keys(), f"variants changed: run `{command}`"
    for variant, values in fingerprints(kernels, outputs).items():
        advice = f"{variant}: the arithmetic changed: raise NUMERICS and run `{command}`"
        assert values == pytest.approx(expected[variant], abs=TOLERANCE), advice


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    content = {f"{k}-{outputs}": fingerprints(k, outputs) for k in KERNELS for outputs in (3, 1)}
    FILE.write_text(json.dumps({"numerics": NUMERICS, **content}, indent=1) + "\n")
