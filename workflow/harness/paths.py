"""Where things lie. The clone is the product: configuration is read from it, results go into it."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "config"
RESULTS = Path("results")
"""Relative to the folder that a command is started in, as Snakemake's own paths are."""


def shown(path: Path) -> str:
    """Return ``path`` as a person would type it: relative to the current folder where possible."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
