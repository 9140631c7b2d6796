"""Benchmark and reproducibility harness for adversarial fine-tuning of language models."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.api import load_experiment, results, run

__version__ = "0.1.0"
__all__ = ["load_experiment", "results", "run"]


def __getattr__(name: str) -> Any:
    """Import the interface for notebooks when it is asked for: commands start without pandas."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from harness import api

    return getattr(api, name)
