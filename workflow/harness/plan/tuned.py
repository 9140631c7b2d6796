"""Tuned files: the values that a search found, all that training reads of it."""

from pathlib import Path
from typing import Any

from pydantic import Field

from harness.errors import HarnessError, MistakesError
from harness.paths import shown
from harness.plan.grid import Cell
from harness.plan.strict import Strict, check
from harness.plan.study import Study, Values, with_values
from harness.plan.yamlfile import read_yaml

SCHEMA_VERSION = 1


class Tuned(Strict):
    """``results/<experiment>/tuned/<task>/<model>/<variant>.yaml``, or a copy of one."""

    schema_version: int = Field(ge=SCHEMA_VERSION, le=SCHEMA_VERSION, description="version of this form")
    method: str = Field(description="name of the method")
    variant: str = Field(description="variant whose arguments were searched")
    tasks: list[str] = Field(min_length=1, description="tasks that it was searched on")
    model: str = Field(description="model that it was searched on")
    arguments: dict[str, Any] = Field(description="what was found, by argument")
    settings: dict[str, Any] = Field(description="what was found, by protocol value")
    selection: dict[str, Any] = Field(description="metric, score and trial that won, the defaults' score")
    study: str = Field(pattern="^[0-9a-f]{64}$", description="hash of the study")
    source: str = Field(pattern="^[0-9a-f]{64}$", description="hash of the method's source")
    space: dict[str, Any] = Field(description="what was searched")
    budget: dict[str, int | float] = Field(description="what it was allowed to spend")
    search: dict[str, Any] = Field(description="sampler, pruner, seeds, workers, trials, reproducibility")
    commit: str | None = Field(description="commit of the code that the winning trial ran with")
    dirty: bool | None = Field(description="whether that code was changed since the commit")

    @property
    def values(self) -> Values:
        """Arguments and settings together."""
        return {**self.settings, **self.arguments}


def read_tuned(path: Path) -> Tuned:
    """Return the tuned file in ``path``; raises HarnessError where it is none."""
    found, mistakes = check(Tuned, read_yaml(path), path)
    if found is None:
        raise MistakesError(mistakes)
    return found


def values_of(study: Study, path: Path) -> Values | None:
    """Return what the search of exactly this study and budget found; None if it is not done yet.

    Raises:
        HarnessError: the file is broken, or holds values that the study does not search.
    """
    if not path.is_file():
        return None
    tuned = read_tuned(path)
    if (tuned.study, tuned.budget) != (study.hash, study.tuning.budget):
        return None
    apart = sorted(tuned.values.keys() - study.space.keys())
    apart += [name for name, d in study.space.items() if not d.holds(tuned.values.get(name))]
    if apart:
        raise HarnessError(f"{shown(path)}: not what its study searched: {', '.join(apart)}; delete the file")
    return tuned.values


def cell_from_file(cell: Cell, name: str, source: str) -> Cell:
    """Return ``cell`` with the values of a tuned file; {task} and {model} in its name stand for the cell's.

    Raises:
        HarnessError: no such file, or it is of another method, or of another version of it.
    """
    try:
        path = Path(name.format(task=cell.task_name, model=cell.model_name)).expanduser()
    except (KeyError, IndexError, ValueError):
        raise HarnessError(f"{name}: only {{task}} and {{model}} may stand in braces") from None
    tuned = read_tuned(path)
    if tuned.method != cell.method.name:
        raise HarnessError(f"{shown(path)}: is of method {tuned.method}, not of {cell.method.name}")
    if tuned.source != source:
        raise HarnessError(
            f"{shown(path)}: was made with another version of method {tuned.method} (source "
            f"{tuned.source[:8]}, now {source[:8]}); tune again, or write its values as arguments"
        )
    return with_values(cell, tuned.values, shown(path))
