"""Search spaces: a method declares one beside its arguments, and an experiment may narrow it.

A search space does not determine how a run with given arguments is computed, so it is not part of the hash of
a method's source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

FORMS = "a list of values, or {low: ..., high: ...}"


@dataclass(frozen=True)
class Range:
    """All numbers from ``low`` to ``high``, both included; integers if the argument is an integer."""

    low: float
    high: float
    log: bool = False
    """Whether numbers are drawn evenly on a logarithmic scale."""

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"low below high, got {self.low:g} and {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"low above 0 on a log scale, got {self.low:g}")

    def holds(self, value: Any) -> bool:
        """Return whether ``value`` is in the range."""
        return _is_number(value) and self.low <= value <= self.high

    def as_json(self) -> dict[str, float | bool]:
        """Return low, high and log."""
        return asdict(self)


@dataclass(frozen=True)
class Choice:
    """A list of values."""

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("at least one value")
        if repeated := [v for i, v in enumerate(self.values) if v in self.values[:i]]:
            raise ValueError(f"each value once, repeated: {', '.join(map(str, repeated))}")

    def holds(self, value: Any) -> bool:
        """Return whether ``value`` is one of the values (``true`` is not 1)."""
        return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in self.values)

    def as_json(self) -> list[Any]:
        """Return the values."""
        return list(self.values)


Dimension = Range | Choice
Space = Mapping[str, Dimension]
"""Dimensions by argument."""


def space(**dimensions: Dimension) -> Space:
    """Return a space, as in ``space(step_size=Range(1e-4, 1e-1, log=True), steps=Choice((1, 2)))``."""
    return MappingProxyType(dimensions)


def narrowed(declared: Dimension, value: object) -> Dimension:
    """Return the part of ``declared`` that an experiment's ``value`` selects.

    Raises:
        ValueError: ``value`` is not a dimension, is empty or reversed, or leaves the declared one.
    """
    dimension = _dimension(declared, value)
    ends = dimension.values if isinstance(dimension, Choice) else (dimension.low, dimension.high)
    outside = [str(end) for end in ends if not declared.holds(end)]
    if outside:
        raise ValueError(f"values inside the declared {in_words(declared)}, got {', '.join(outside)}")
    return dimension


def in_words(dimension: Dimension) -> str:
    """Return a dimension as text: ``0.1 to 10, log`` or ``[1, 2]``."""
    if isinstance(dimension, Choice):
        return f"[{', '.join(map(str, dimension.values))}]"
    return f"{dimension.low:g} to {dimension.high:g}{', log' if dimension.log else ''}"


def _dimension(declared: Dimension, value: object) -> Dimension:
    if isinstance(value, list):
        return Choice(tuple(value))
    if not isinstance(value, dict) or isinstance(declared, Choice):
        forms = FORMS if isinstance(declared, Range) else "a list of values"
        raise ValueError(f"{forms}, got {value!r}")
    if wrong := sorted(value.keys() - {"low", "high", "log"}):
        raise ValueError(f"the keys low, high and log, got {', '.join(map(str, wrong))}")
    ends = {"low": declared.low, "high": declared.high} | {k: value[k] for k in ("low", "high") if k in value}
    if wrong := [f"{name}: {end!r}" for name, end in ends.items() if not _is_number(end)]:
        raise ValueError(f"numbers, got {', '.join(wrong)}")
    log = value.get("log", declared.log)
    if not isinstance(log, bool):
        raise ValueError(f"true or false for log, got {log!r}")
    return Range(ends["low"], ends["high"], log)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
