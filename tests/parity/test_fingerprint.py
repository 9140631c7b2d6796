"""If the arithmetic of a method changes, NUMERICS must be raised, so that old results are not reused.

``python tests/parity/test_fingerprint.py`` rewrites the file; run it after raising NUMERICS.
"""

import json
from pathlib import Path

import pytest
import torch

from harness.methods.conformance import toy
from harness.plan.keys import NUMERICS

FILE = Path(__file__).parents[1] / "data" / "fingerprints.json"
METHODS = ["vanilla", "freelb", "smart", "mat"]
TOLERANCE = 1e-9


def fingerprint(name: str, outputs: int) -> list[float]:
    """Return five projections of the parameters after five steps with dropout, in float64."""
    encoder = toy.encoder(outputs=outputs)
    toy.steps(encoder, toy.build(name), count=5, outputs=outputs)
    flat = torch.cat([p.flatten() for p in toy.parameters(encoder).values()])
    positions = torch.arange(len(flat), dtype=flat.dtype)
    return [float((flat * torch.cos(positions * k)).sum()) for k in range(1, 6)]


def fingerprints() -> dict[str, list[float]]:
    return {f"{name}-{outputs}": fingerprint(name, outputs) for name in METHODS for outputs in (3, 1)}


@pytest.mark.usefixtures("float64")
def test_bits_change_only_with_numerics() -> None:
    stored = json.loads(FILE.read_text())
    command = "python tests/parity/test_fingerprint.py"
    assert stored["numerics"] == NUMERICS, f"NUMERICS was raised: run `{command}`"
    for name, values in fingerprints().items():
        advice = f"{name}: the arithmetic changed: raise NUMERICS and run `{command}`"
        assert values == pytest.approx(stored["fingerprints"][name], abs=TOLERANCE), advice


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    FILE.write_text(json.dumps({"numerics": NUMERICS, "fingerprints": fingerprints()}, indent=1) + "\n")
