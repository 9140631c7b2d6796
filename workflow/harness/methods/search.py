"""Search spaces: what a method declares beside its arguments, and what an experiment may narrow.

Nothing here says how a run of settled arguments is computed, so it is no part of a method's source hash.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

FORMS = "a list of values, or {low: ..., high: ...}"


@dataclass(frozen=True)
class Range:
    """All numbers from ``low`` to ``high``, both included; whole ones where the argument is whole."""

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
        """Tell whether ``value`` lies inside."""
        return _is_number(value) and self.low <= value <= self.high

    def as_json(self) -> dict[str, Any]:
        """Return low, high and log."""
        return asdict(self)


@dataclass(frozen=True)
class Choice:
    """A few values, named one by one."""

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("at least one value")
        if repeated := [v for i, v in enumerate(self.values) if v in self.values[:i]]:
            raise ValueError(f"each value once, repeated: {', '.join(map(str, repeated))}")

    def holds(self, value: Any) -> bool:
        """Tell whether ``value`` is one of them (``true`` is not 1)."""
        return any(value == own and isinstance(value, bool) == isinstance(own, bool) for own in self.values)

    def as_json(self) -> list[Any]:
        """Return the values."""
        return list(self.values)


Dimension = Range | Choice
Space = Mapping[str, Dimension]
"""Argument to what is searched."""


def space(**dimensions: Dimension) -> Space:
    """Return a space: ``search = space(step_size=Range(1e-4, 1e-1, log=True), steps=Choice((1, 2)))``."""
    return MappingProxyType(dimensions)


def narrowed(declared: Dimension, asked: Any) -> Dimension:
    """Return the part of ``declared`` that an experiment asks for.

    Raises:
        ValueError: ``asked`` is no dimension, is empty or reversed, or leaves the declared one.
    """
    found = _dimension(declared, asked)
    ends = found.values if isinstance(found, Choice) else (found.low, found.high)
    outside = [str(value) for value in ends if not declared.holds(value)]
    if outside:
        raise ValueError(f"values inside the declared {told(declared)}, got {', '.join(outside)}")
    return found


def told(dimension: Dimension) -> str:
    """Return a dimension in words: ``0.1 to 10, log`` or ``[1, 2]``."""
    if isinstance(dimension, Choice):
        return f"[{', '.join(map(str, dimension.values))}]"
    return f"{dimension.low:g} to {dimension.high:g}{', log' if dimension.log else ''}"


def _dimension(declared: Dimension, asked: Any) -> Dimension:
    if isinstance(asked, list):
        return Choice(tuple(asked))
    if not isinstance(asked, dict) or isinstance(declared, Choice):
        forms = FORMS if isinstance(declared, Range) else "a list of values"
        raise ValueError(f"{forms}, got {asked!r}")
    if wrong := sorted(asked.keys() - {"low", "high", "log"}):
        raise ValueError(f"the keys low, high and log, got {', '.join(map(str, wrong))}")
    ends = {"low": declared.low, "high": declared.high} | {k: asked[k] for k in ("low", "high") if k in asked}
    if wrong := [f"{end}: {value!r}" for end, value in ends.items() if not _is_number(value)]:
        raise ValueError(f"numbers, got {', '.join(wrong)}")
    log = asked.get("log", declared.log)
    if not isinstance(log, bool):
        raise ValueError(f"true or false for log, got {log!r}")
    return Range(ends["low"], ends["high"], log)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
