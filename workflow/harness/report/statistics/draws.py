"""Random draws of the statistics: seeded from names, so that they are the same each time and everywhere."""

import hashlib

import numpy as np


def generator(*names: str) -> np.random.Generator:
    """Return the generator that belongs to the names."""
    digest = hashlib.sha256("/".join(names).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))
