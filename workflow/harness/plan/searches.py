"""Which cells take their arguments from a search or a tuned file, and what they find there."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from harness.errors import MistakesError, unknown
from harness.methods.interface import Method
from harness.paths import shown
from harness.plan import catalogue
from harness.plan.experiment import DEFAULT, TUNED, Experiment
from harness.plan.grid import Cell
from harness.plan.keys import digest
from harness.plan.study import Study, make_study, with_values
from harness.plan.tuned import cell_from_file, values_of

SourceOf = Callable[[Method], str]
"""Method to the hash of its own source."""


def variant_mistakes(experiment: Experiment, where: str) -> Iterator[str]:
    """Yield what is wrong in what variants say of each other and of a search."""
    searched: dict[str, str] = {}
    for name, change in experiment.variants.items():
        other = experiment.variants.get(change.of or "")
        if other is not None and (other.of or isinstance(other.arguments, str)):
            yield (
                f"{where}: variants.{name}.of: expected a variant with arguments of its own, "
                f"got {change.of}, which takes them from elsewhere"
            )
        if experiment.source(name) == TUNED:
            base = experiment.base(name)
            if base in searched:
                yield f"{where}: variants.{name}: expected one search of {base}, got {searched[base]}, too"
            searched[base] = name
    if searched and experiment.tuning is None:
        first = next(iter(searched.values()))
        yield f"{where}: tuning: missing; expected a budget, since {first} has arguments: tuned"
    if experiment.tuning is not None:
        if not searched:
            yield f"{where}: tuning: expected a variant with arguments: tuned, got none"
        for name in experiment.tuning.space:
            if name not in searched:
                yield f"{where}: tuning.space: {unknown('searched variant', name, searched)}"


def studies_of(
    experiment: Experiment, cells: list[Cell], source_of: SourceOf, where: str
) -> tuple[dict[str, Study], list[str]]:
    """Return the search of each cell that asks for one, by the cell's name, and the mistakes."""
    tuning = experiment.tuning
    groups: dict[tuple[str, ...], list[Cell]] = {}
    for cell in cells:
        if tuning and experiment.source(cell.variant) == TUNED:
            task = cell.task_name if tuning.studies == "cell" else ""
            groups.setdefault((task, cell.model_name, cell.variant), []).append(cell)
    found: dict[str, Study] = {}
    mistakes: list[str] = []
    for (_, _, variant), group in groups.items():
        base, change = experiment.base(variant), experiment.change(variant)
        assert tuning is not None
        # What the variant or the experiment sets makes the variant what it is, and is not searched.
        fixed = {*catalogue.variant(base, experiment.method_folders()).arguments, *change.arguments}
        try:
            study = make_study(base, group, tuning, fixed, source_of(group[0].method), where)
            found |= {cell.name: study for cell in group}
        except MistakesError as error:
            mistakes += [m for m in error.mistakes if m not in mistakes]
    return found, mistakes


def settled(
    cell: Cell, experiment: Experiment, study: Study | None, tuned: Path, source_of: SourceOf
) -> tuple[Cell, bool]:
    """Return a cell with the arguments that a search or a file gives it, and whether they are its own.

    Raises:
        HarnessError: the tuned file cannot be used.
    """
    origin = experiment.source(cell.variant)
    if origin == DEFAULT:
        return cell, False
    if study is None:
        return cell_from_file(cell, origin, source_of(cell.method)), True
    path = tuned / study.file
    values = values_of(study, path)
    if values is None:
        return replace(
            cell, study=study, waits=True, identity=digest(["waits", study.hash, cell.name])
        ), False
    return replace(with_values(cell, values, shown(path)), study=study), True
