"""Paths of the clone. Configuration is read from the clone; results are written into the current folder."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
CONFIG = ROOT / "config"
PUBLISHED = ROOT / "results" / "reference" / "published.yaml"
RESULTS = Path("results")
"""Relative to the folder in which a command is started, like Snakemake's own paths."""


def display_path(path: Path) -> str:
    """Return ``path`` as a person would type it: relative to the current folder where possible."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
