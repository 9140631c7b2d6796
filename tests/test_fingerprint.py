"""When a method's arithmetic changes, NUMERICS must be raised: old results are then made again.

`python tests/test_fingerprint.py` writes the file anew; do so together with a raised NUMERICS.
"""

import json
from pathlib import Path

import pytest
import torch

from harness.core.numerics import NUMERICS
from harness.methods.conformance import toy

FILE = Path(__file__).parent / "data" / "fingerprints.json"
METHODS = ["vanilla", "freelb", "smart", "mat"]
TOLERANCE = 1e-9


def fingerprint(name: str, outputs: int) -> list[float]:
    """Return five projections of the parameters after five steps with dropout, in float64."""
    made = toy.encoder(outputs=outputs)
    toy.steps(made, toy.build(name), count=5, outputs=outputs)
    flat = torch.cat([p.flatten() for p in toy.parameters(made).values()])
    positions = torch.arange(len(flat), dtype=flat.dtype)
    return [float((flat * torch.cos(positions * k)).sum()) for k in range(1, 6)]


def fingerprints() -> dict[str, list[float]]:
    return {f"{name}-{outputs}": fingerprint(name, outputs) for name in METHODS for outputs in (3, 1)}


@pytest.mark.usefixtures("float64")
def test_bits_change_only_with_numerics() -> None:
    kept = json.loads(FILE.read_text())
    advice = "the arithmetic changed: raise NUMERICS and run `python tests/test_fingerprint.py`"
    assert kept["numerics"] == NUMERICS, "NUMERICS was raised: run `python tests/test_fingerprint.py`"
    for name, found in fingerprints().items():
        assert found == pytest.approx(kept["fingerprints"][name], abs=TOLERANCE), f"{name}: {advice}"


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    FILE.write_text(json.dumps({"numerics": NUMERICS, "fingerprints": fingerprints()}, indent=1) + "\n")
