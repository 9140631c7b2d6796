"""Benchmark and reproducibility harness for adversarial fine-tuning of language models."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.api import load_experiment, load_results, run

__version__ = "0.1.0"
__all__ = ["load_experiment", "load_results", "run"]


def __getattr__(name: str) -> Any:
    """Import the functions for notebooks on first use, so that commands start without pandas."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from harness import api

    return getattr(api, name)
