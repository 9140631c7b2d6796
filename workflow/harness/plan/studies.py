"""Cells whose arguments come from a study or a tuned file, and the values that these provide."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from harness.config import catalogue
from harness.config.experiment import DEFAULT, TUNED, Experiment
from harness.config.tuned import Values, read_tuned
from harness.methods.interface import Method
from harness.plan.grid import Cell
from harness.plan.study import Study, make_study, with_values
from harness.util.errors import ConfigErrors, HarnessError, unknown
from harness.util.hashing import digest
from harness.util.paths import display_path

SourceOf = Callable[[Method], str]
"""Function from a method to the hash of its source."""


def variant_errors(experiment: Experiment, where: str) -> Iterator[str]:
    """Yield the errors in how variants refer to each other and to the ``tuning`` block."""
    tuned: dict[str, str] = {}  # catalogue's variant to the experiment's
    for name, change in experiment.variants.items():
        base = experiment.variants.get(change.of or "")
        if base is not None and (base.of or isinstance(base.arguments, str)):
            yield (
                f"{where}: variants.{name}.of: expected a variant that states its arguments, "
                f"got {change.of}, which takes them from another variant, a study or a file"
            )
        if experiment.source(name) == TUNED:
            entry = experiment.base(name)
            if entry in tuned:
                yield (
                    f"{where}: variants.{name}: expected one tuned variant of {entry}, "
                    f"but {tuned[entry]} is another"
                )
            tuned[entry] = name
    if tuned and experiment.tuning is None:
        first = next(iter(tuned.values()))
        yield f"{where}: tuning: missing; expected a budget, since {first} has arguments: tuned"
    if experiment.tuning is not None:
        if not tuned:
            yield f"{where}: tuning: expected a variant with arguments: tuned, got none"
        for name in experiment.tuning.space:
            if name not in tuned:
                yield f"{where}: tuning.space: {unknown('tuned variant', name, tuned)}"


def studies_of(
    experiment: Experiment, cells: list[Cell], source_of: SourceOf, where: str
) -> tuple[dict[str, Study], list[str]]:
    """Return the study of each cell that needs one, by the cell's name, and the errors."""
    tuning = experiment.tuning
    groups: dict[tuple[str, ...], list[Cell]] = {}
    for cell in cells:
        if tuning and experiment.source(cell.variant) == TUNED:
            task = cell.task_name if tuning.studies == "cell" else ""
            groups.setdefault((task, cell.model_name, cell.variant), []).append(cell)
    studies: dict[str, Study] = {}
    errors: list[str] = []
    for (_, _, variant), group in groups.items():
        base, change = experiment.base(variant), experiment.change(variant)
        assert tuning is not None
        # Arguments that the variant or the experiment sets define the variant and are not searched.
        fixed = {*catalogue.variant(base, experiment.method_folders()).arguments, *change.arguments}
        try:
            source, computing = source_of(group[0].method), experiment.numeric_changes()
            study = make_study(base, group, tuning, fixed, source, computing, where)
            studies |= {cell.name: study for cell in group}
        except ConfigErrors as error:
            errors += [message for message in error.errors if message not in errors]
    return studies, errors


def with_tuned_arguments(
    cell: Cell, experiment: Experiment, study: Study | None, tuned: Path, source_of: SourceOf
) -> tuple[Cell, bool]:
    """Return a cell with the arguments from its study or tuned file, and whether its identity changes.

    ``tuned`` is the folder of the experiment's tuned files.

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
        identity = digest(["awaits tuning", study.hash, cell.name])
        return replace(cell, study=study.name, awaits_tuning=True, identity=identity), False
    return replace(with_values(cell, values, display_path(path)), study=study.name), True


def values_of(study: Study, path: Path) -> Values | None:
    """Return the best values of a study from its tuned file, or None if the study is not finished.

    A file of another study or of another budget does not count.

    Raises:
        HarnessError: the file is damaged, or has values outside of the study's space.
    """
    if not path.is_file():
        return None
    tuned = read_tuned(path)
    if (tuned.study, tuned.budget) != (study.hash, study.tuning.budget):
        return None
    names = sorted(tuned.values.keys() - study.space.keys())
    names += [name for name, d in study.space.items() if not d.holds(tuned.values.get(name))]
    if names:
        raise HarnessError(
            f"{display_path(path)}: outside of the space of its study: {', '.join(names)}; delete the file"
        )
    return tuned.values


def cell_from_file(cell: Cell, name: str, source: str) -> Cell:
    """Return ``cell`` with the values of a tuned file; ``{task}`` and ``{model}`` in ``name`` are replaced.

    ``source`` is the hash of the method's source.

    Raises:
        HarnessError: the file is missing, or is of another method or of another version of the method.
    """
    try:
        path = Path(name.format(task=cell.task_name, model=cell.model_name)).expanduser()
    except (KeyError, IndexError, ValueError):
        raise HarnessError(f"{name}: only {{task}} and {{model}} are allowed in braces") from None
    tuned = read_tuned(path)
    if tuned.method != cell.method.name:
        raise HarnessError(
            f"{display_path(path)}: expected values of method {cell.method.name}, got those of {tuned.method}"
        )
    if tuned.source != source:
        raise HarnessError(
            f"{display_path(path)}: written with another version of method {tuned.method} (source "
            f"{tuned.source[:8]}, now {source[:8]}); tune again, or copy its values into arguments"
        )
    return with_values(cell, tuned.values, display_path(path))
