"""A study: what one search varies, on which cells, and the hash that names it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.core.numerics import NUMERICS
from harness.errors import MistakesError, unknown
from harness.methods.search import Choice, Dimension, Space, narrowed, told
from harness.plan.grid import Cell
from harness.plan.keys import digest
from harness.plan.protocol import Protocol
from harness.plan.strict import check
from harness.plan.tuning import SETTINGS, Tuning

ALL_TASKS = "all"
Values = dict[str, Any]
"""Argument or protocol value to what was found or tried."""


@dataclass(frozen=True)
class Study:
    """One search: its cells with the values that they have without one, its space and its budget."""

    variant: str
    """The variant whose arguments are searched; the tuned file has its name."""
    cells: tuple[Cell, ...]
    """One cell, or one a task."""
    space: Space
    tuning: Tuning
    source: str
    """Hash of the method's own source."""

    @property
    def task_name(self) -> str:
        """The task, or ``all``."""
        return self.cells[0].task_name if self.tuning.studies == "cell" else ALL_TASKS

    @property
    def model_name(self) -> str:
        """The model."""
        return self.cells[0].model_name

    @property
    def name(self) -> str:
        """``task/model/variant``."""
        return f"{self.task_name}/{self.model_name}/{self.variant}"

    @property
    def file(self) -> Path:
        """The tuned file, relative to ``results/<experiment>/tuned``."""
        return Path(f"{self.name}.yaml")

    @property
    def folder(self) -> Path:
        """Where journal, locks and stamps lie, relative to ``results/<experiment>/studies``."""
        return Path(f"{self.name}-{self.hash[:8]}")

    @cached_property
    def hash(self) -> str:
        """Hash of what a search depends on; the reported rows are no part of it.

        The number of trials is none either: more of them continue the study.
        """
        tuning = self.tuning
        return digest(
            {
                "cells": [_identity(cell, self.source) for cell in self.cells],
                "space": {name: dimension.as_json() for name, dimension in self.space.items()},
                "budget": tuning.kind if tuning.kind == "trials" else tuning.budget,
                "pruner": tuning.pruner,
                "seeds": tuning.seeds,
                "numerics": NUMERICS,
            }
        )

    def defaults(self) -> Values:
        """Return what the space's arguments and settings are without a search."""
        return {name: _value(self.cells[0], name) for name in self.space}

    def cells_with(self, values: Mapping[str, Any], where: str) -> list[Cell]:
        """Return the cells with these values in place of their own; their identity is left alone."""
        return [with_values(cell, values, where) for cell in self.cells]


def with_values(cell: Cell, values: Mapping[str, Any], where: str) -> Cell:
    """Return ``cell`` with other arguments and settings.

    Raises:
        MistakesError: a name or a value that method or protocol does not take.
    """
    settings = {name: value for name, value in values.items() if name in SETTINGS}
    arguments = {name: value for name, value in values.items() if name not in SETTINGS}
    kind = type(cell.method)
    taken, wrong = check(kind.Arguments, {**cell.method.arguments.model_dump(), **arguments}, where)
    protocol, more = check(Protocol, {**cell.protocol.model_dump(), **settings}, where)
    if taken is None or protocol is None:
        raise MistakesError(wrong + more)
    return replace(cell, method=kind(taken), protocol=protocol)


def make_study(
    variant: str, cells: Sequence[Cell], tuning: Tuning, fixed: set[str], source: str, where: str
) -> Study:
    """Return the study of cells that share model and variant; ``fixed`` are arguments that it may not vary.

    Raises:
        MistakesError: an empty space, a wrong narrowing, values outside, nothing to select on.
    """
    found, mistakes = _space(variant, cells[0], tuning, fixed, where)
    study = Study(variant, tuple(cells), found, tuning, source)
    mistakes += [f"{where}: {wrong}" for cell in cells for wrong in _outside(study, cell)]
    mistakes += [f"{where}: {wrong}" for cell in cells for wrong in _unselectable(cell)]
    mistakes += _untaken(study, f"{where}: tuning")
    if not mistakes and not any(_varies(d) for d in found.values()):
        mistakes.append(
            f"{where}: tuning.space.{variant}: expected something to search, got an empty space: method "
            f"{cells[0].method.name} declares {', '.join(cells[0].method.search) or 'nothing'}"
        )
    if mistakes:
        raise MistakesError(list(dict.fromkeys(mistakes)))
    return study


def _space(
    variant: str, cell: Cell, tuning: Tuning, fixed: set[str], where: str
) -> tuple[dict[str, Dimension], list[str]]:
    """Return the searched space, settings first, and the mistakes made in narrowing it."""
    declared = {name: d for name, d in cell.method.search.items() if name not in fixed}
    asked = tuning.space.get(variant, {})
    mistakes = []
    for name in asked:
        key = f"{where}: tuning.space.{variant}.{name}"
        if name in fixed:
            mistakes.append(f"{key}: is fixed at {_value(cell, name)!r} by the variant")
        elif name not in declared:
            mistakes.append(f"{key}: {unknown('searched argument', name, declared)}")
    layers: list[tuple[str, Space, dict[str, Any]]] = [
        ("settings", {name: SETTINGS[name] for name in tuning.settings}, tuning.settings),
        (f"space.{variant}", declared, asked),
    ]
    found: dict[str, Dimension] = {}
    for key, whole, part in layers:
        for name, dimension in whole.items():
            try:
                given = part.get(name)
                found[name] = dimension if given is None else narrowed(dimension, given)
            except ValueError as error:
                mistakes.append(f"{where}: tuning.{key}.{name}: expected {error}")
    return found, mistakes


def _varies(dimension: Dimension) -> bool:
    return not isinstance(dimension, Choice) or len(dimension.values) > 1


def _outside(study: Study, cell: Cell) -> Iterator[str]:
    """Yield what is wrong with the values that a cell has without a search: the first trial has them."""
    first = study.defaults()
    for name, dimension in study.space.items():
        value = _value(cell, name)
        if not dimension.holds(value):
            yield (
                f"tuning: {study.variant} has {name} {value!r} without a search, outside of what is searched "
                f"({told(dimension)}); its defaults are the first trial: widen the space, or set the default"
            )
        elif value != first[name]:
            yield (
                f"tuning: expected one {name} of {study.variant} on all tasks, since they share a search; "
                f"{cell.task_name} has {value!r}, {study.cells[0].task_name} {first[name]!r}"
            )


def _untaken(study: Study, where: str) -> list[str]:
    """Return the ends and choices that method or protocol would refuse, a broken number of steps for one."""
    mistakes = []
    for name, dimension in study.space.items():
        ends = dimension.values if isinstance(dimension, Choice) else (dimension.low, dimension.high)
        for value in ends:
            try:
                with_values(study.cells[0], {name: value}, where)
            except MistakesError as error:
                mistakes += error.mistakes
    return mistakes


def _unselectable(cell: Cell) -> Iterator[str]:
    if cell.protocol.selection == "best-on-report":
        yield "tuning: expected selection: last or best-on-selection; a search never reads reported rows"
    if cell.protocol.selection_rows == 0:
        yield "tuning: expected selection_rows of 1 or more: trials are compared on them alone"


def _value(cell: Cell, name: str) -> Any:
    return getattr(cell.protocol if name in SETTINGS else cell.method.arguments, name)


def _identity(cell: Cell, source: str) -> dict[str, Any]:
    """Return what a trial depends on; the protocol's say on the report split is not among it."""
    return {
        "task": cell.task.identity([cell.task.train]),
        "name": [cell.task_name, cell.model_name],
        "model": cell.model.identity(),
        "protocol": cell.protocol.model_dump(exclude={"record_report_curve"}),
        "method": cell.method.name,
        "arguments": cell.method.arguments.model_dump(),
        "source": source,
    }
