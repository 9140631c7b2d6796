"""A study: the cells, the search space and the budget of one search, and the hash that identifies it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.config.base import check
from harness.config.protocol import Protocol
from harness.config.tuned import Value, Values
from harness.config.tuning import COST, SETTINGS, Tuning
from harness.methods.search_space import Choice, Dimension, Space, in_words, narrowed
from harness.plan.cost import trial_cost
from harness.plan.grid import Cell
from harness.plan.keys import identity
from harness.util.errors import ConfigErrors, unknown
from harness.util.hashing import digest

ALL_TASKS = "all"


@dataclass(frozen=True)
class Study:
    """One study. Its cells have the arguments and settings that apply without tuning."""

    variant: str
    """The variant whose arguments are tuned; the tuned file is named after it."""
    cells: tuple[Cell, ...]
    """One cell, or one cell per task."""
    space: Space
    tuning: Tuning
    source: str
    """Hash of the method's source."""
    computing: Mapping[str, bool]
    """Changes of how runs are computed that change numbers (``Experiment.numeric_changes``)."""

    @property
    def task_name(self) -> str:
        """Name of the task, or ``all`` for a study over all tasks."""
        return self.cells[0].task_name if self.tuning.studies == "cell" else ALL_TASKS

    @property
    def model_name(self) -> str:
        """Name of the model."""
        return self.cells[0].model_name

    @property
    def name(self) -> str:
        """``task/model/variant``."""
        return f"{self.task_name}/{self.model_name}/{self.variant}"

    @property
    def file(self) -> Path:
        """Path of the tuned file, relative to ``results/<experiment>/tuned``."""
        return Path(f"{self.name}.yaml")

    @property
    def folder(self) -> Path:
        """Folder of journal, locks and stamps, relative to ``results/<experiment>/studies``."""
        return Path(f"{self.name}-{self.hash[:8]}")

    @cached_property
    def hash(self) -> str:
        """Hash of everything that the trials depend on.

        Excluded are the report splits, which trials never read, and the number of trials: if it is raised,
        the study continues.
        """
        tuning = self.tuning
        return digest(
            {
                "cells": [self._identity(cell) for cell in self.cells],
                "space": {name: dimension.as_json() for name, dimension in self.space.items()},
                "budget": tuning.kind if tuning.kind == "trials" else tuning.budget,
                "pruner": tuning.pruner,
                "seeds": tuning.seeds,
            }
        )

    def _identity(self, cell: Cell) -> dict[str, Any]:
        """Return everything that a trial on ``cell`` depends on, without the report splits."""
        protocol = cell.protocol.identity()
        del protocol["record_report_curve"]
        task = (cell.task_name, cell.task.identity([cell.task.train]))
        model = (cell.model_name, cell.model)
        return identity(task, model, protocol, cell.method, self.source, self.computing)

    def defaults(self) -> Values:
        """Return the values of the searched arguments and settings without tuning."""
        return {name: _value(self.cells[0], name) for name in self.space}

    def cells_with(self, values: Mapping[str, Value], where: str) -> list[Cell]:
        """Return the cells with other values of arguments and settings; their identity is unchanged."""
        return [with_values(cell, values, where) for cell in self.cells]


def with_values(cell: Cell, values: Mapping[str, Value], where: str) -> Cell:
    """Return ``cell`` with other values of arguments and settings; its identity is unchanged.

    ``where`` names the source of the values in error messages.

    Raises:
        ConfigErrors: all names and values that the method or the protocol does not accept.
    """
    settings = {name: value for name, value in values.items() if name in SETTINGS}
    arguments = {name: value for name, value in values.items() if name not in SETTINGS}
    kind = type(cell.method)
    merged, errors = check(kind.Arguments, {**cell.method.arguments.model_dump(), **arguments}, where)
    protocol, protocol_errors = check(Protocol, {**cell.protocol.model_dump(), **settings}, where)
    if merged is None or protocol is None:
        raise ConfigErrors(errors + protocol_errors)
    return replace(cell, method=kind(merged), protocol=protocol)


def make_study(
    variant: str,
    cells: Sequence[Cell],
    tuning: Tuning,
    fixed: set[str],
    source: str,
    computing: Mapping[str, bool],
    where: str,
) -> Study:
    """Return the study of cells that share model and variant; ``fixed`` arguments are not searched.

    Raises:
        ConfigErrors: the space is empty or not a part of the declared one, a default is outside of the
            space, or the protocol has no selection split.
    """
    space, errors = _space(variant, cells[0], tuning, fixed, where)
    study = Study(variant, tuple(cells), space, tuning, source, computing)
    errors += [f"{where}: {message}" for cell in cells for message in _default_errors(study, cell)]
    errors += [f"{where}: {message}" for cell in cells for message in _selection_errors(cell)]
    errors += _value_errors(study, f"{where}: tuning")
    errors += _budget_errors(study, f"{where}: tuning")
    if not errors and not any(_varies(d) for d in space.values()):
        errors.append(
            f"{where}: tuning.space.{variant}: expected at least one value to search, got an empty space; "
            f"method {cells[0].method.name} declares {', '.join(cells[0].method.search_space) or 'nothing'}"
        )
    if errors:
        raise ConfigErrors(list(dict.fromkeys(errors)))
    return study


def _space(
    variant: str, cell: Cell, tuning: Tuning, fixed: set[str], where: str
) -> tuple[dict[str, Dimension], list[str]]:
    """Return the search space, settings first, and the errors of its narrower ranges."""
    declared = {name: d for name, d in cell.method.search_space.items() if name not in fixed}
    ranges = tuning.space.get(variant, {})
    errors = []
    for name in ranges:
        key = f"{where}: tuning.space.{variant}.{name}"
        if name in fixed:
            errors.append(f"{key}: the variant sets it to {_value(cell, name)!r}; remove one of the two")
        elif name not in declared:
            errors.append(f"{key}: {unknown('searched argument', name, declared)}")
    layers: list[tuple[str, Space, dict[str, Any]]] = [
        ("settings", {name: SETTINGS[name] for name in tuning.settings}, tuning.settings),
        (f"space.{variant}", declared, ranges),
    ]
    space: dict[str, Dimension] = {}
    for key, dimensions, narrower in layers:
        for name, dimension in dimensions.items():
            try:
                part = narrower.get(name)
                space[name] = dimension if part is None else narrowed(dimension, part)
            except ValueError as error:
                errors.append(f"{where}: tuning.{key}.{name}: expected {error}")
    return space, errors


def _varies(dimension: Dimension) -> bool:
    return not isinstance(dimension, Choice) or len(dimension.values) > 1


def _default_errors(study: Study, cell: Cell) -> Iterator[str]:
    """Yield the errors of a cell's default values, which the first trial uses."""
    defaults = study.defaults()
    for name, dimension in study.space.items():
        value = _value(cell, name)
        if not dimension.holds(value):
            yield (
                f"tuning: the first trial of {study.variant} has the default {name} {value!r}, outside of "
                f"the search space ({in_words(dimension)}); widen the space or change the default"
            )
        elif value != defaults[name]:
            yield (
                f"tuning: expected the same {name} of {study.variant} on all tasks, which share a study; "
                f"{cell.task_name} has {value!r}, {study.cells[0].task_name} has {defaults[name]!r}"
            )


def _value_errors(study: Study, where: str) -> list[str]:
    """Return the errors of bounds and choices that the method or the protocol rejects."""
    errors = []
    for name, dimension in study.space.items():
        values = dimension.values if isinstance(dimension, Choice) else (dimension.low, dimension.high)
        for value in values:
            try:
                with_values(study.cells[0], {name: value}, where)
            except ConfigErrors as error:
                errors += error.errors
    return errors


def _budget_errors(study: Study, where: str) -> Iterator[str]:
    """Yield the error of a budget in which not even the first trial, with the defaults, fits."""
    needed = trial_cost(study.cells, study.tuning.seeds)
    if study.tuning.kind == COST and needed is not None and needed > study.tuning.amount:
        yield (
            f"{where}.{COST}: expected at least {needed:,}, the cost of one trial of {study.variant} "
            f"with the defaults, got {study.tuning.amount:,g}"
        )


def _selection_errors(cell: Cell) -> Iterator[str]:
    """Yield the errors of a protocol that does not allow to select trials on the selection split."""
    if cell.protocol.selection == "best-on-report":
        yield "tuning: expected selection: last or best-on-selection; a study never reads reported rows"
    if cell.protocol.selection_rows == 0:
        yield "tuning: expected selection_rows of 1 or more, since trials are compared on selection rows"


def _value(cell: Cell, name: str) -> Any:
    return getattr(cell.protocol if name in SETTINGS else cell.method.arguments, name)
