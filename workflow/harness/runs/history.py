"""Run folders of the past: which are superseded and why, and how long the remaining runs will take."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from harness.config.yaml_loader import read_yaml
from harness.plan.cost import training_cost
from harness.plan.grid import Cell, Run
from harness.plan.plan import Plan
from harness.runs.failures import unfinished
from harness.runs.folder import RunFolder
from harness.util.errors import HarnessError

LIMIT_HOURS = 24.0
CHANGED = "data, model or code changed"
Rates = dict[tuple[str, ...], float]
"""Seconds per example and forward equivalent, by (task, model, variant) and by (task, model)."""


@dataclass(frozen=True)
class CellConfig:
    """The arguments and protocol values of a cell, or those in the ``config.yaml`` of a run folder."""

    arguments: dict[str, Any]
    protocol: dict[str, Any]


def config_of_cell(cell: Cell) -> CellConfig:
    """Return the planned values of ``cell``."""
    return CellConfig(
        cell.method.arguments.model_dump(mode="json"),
        cell.protocol.model_dump(mode="json"),
    )


def config_of_folder(folder: RunFolder) -> CellConfig | None:
    """Return the values that the run in ``folder`` was trained with, or None if they were not recorded."""
    if not folder.config_path.is_file():
        return None
    content = read_yaml(folder.config_path)
    return CellConfig(content.get("arguments", {}), content.get("protocol", {}))


def differences(old: CellConfig, new: CellConfig) -> list[str]:
    """Return ``epochs 3 -> 2`` for each argument and protocol value in which two configurations differ."""
    lines = []
    for before, after in ((old.arguments, new.arguments), (old.protocol, new.protocol)):
        keys = [key for key in dict.fromkeys([*before, *after]) if before.get(key) != after.get(key)]
        lines += [f"{key} {before.get(key)} -> {after.get(key)}" for key in keys]
    return lines


def superseded(plan: Plan) -> dict[Path, str]:
    """Return the run folders that are not in the plan any more, and why.

    Runs of a cell that awaits tuning are not among them: the search may end with their arguments again.
    """
    planned = {plan.run_folder(run) for run in plan.runs}
    cells = {run.cell.name: run.cell for run in plan.runs}
    awaiting = {name for name, cell in cells.items() if cell.awaits_tuning}
    paths = sorted((plan.folder / "runs").glob("*/*/*/seed*"))
    return {
        path: _reason(plan, cells.get("/".join(path.parts[-4:-1])), path)
        for path in paths
        if path not in planned and "/".join(path.parts[-4:-1]) not in awaiting
    }


def _reason(plan: Plan, cell: Cell | None, path: Path) -> str:
    if cell is None:
        return "task, model or variant is no longer in the experiment"
    config = config_of_folder(RunFolder(path))
    if config is None:
        return CHANGED
    seed = _seed(path).removeprefix("seed")
    if seed not in map(str, plan.experiment.seeds):
        return f"seed {seed} is no longer in the experiment"
    return "; ".join(differences(config, config_of_cell(cell))) or CHANGED


def reason_to_run(plan: Plan, run: Run, superseded_folders: dict[Path, str]) -> str:
    """Return why ``run`` has no result; ``superseded_folders`` is the result of ``superseded``."""
    folder = plan.run_folder(run)
    state = unfinished(RunFolder(folder))
    if state is not None:
        return state.text
    reasons = [
        why
        for path, why in superseded_folders.items()
        if path.parent == folder.parent and _seed(path) == _seed(folder)
    ]
    return f"changed: {reasons[-1]}" if reasons else "new"


def _seed(path: Path) -> str:
    return path.name.partition("-")[0]


def rates(results: Path) -> Rates:
    """Return the speed of the finished runs of every experiment below ``results``."""
    values: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for path in sorted(results.glob("*/runs/*/*/*/seed*/result.json")):
        result = RunFolder(path.parent).result()
        if result is None or result.cost.forward_equivalents == 0:
            continue
        cost = result.cost
        rate = (cost.train_seconds + cost.evaluation_seconds) / cost.forward_equivalents
        values[result.task, result.model, result.variant].append(rate)
        values[result.task, result.model].append(rate)
    return {key: fmean(numbers) for key, numbers in values.items()}


def hours_of(cell: Cell, known: Rates) -> float | None:
    """Return the hours of one run of ``cell`` by past runs, or None if there are none to go by."""
    place = (cell.task_name, cell.model_name)
    rate, cost = known.get((*place, cell.variant), known.get(place)), training_cost(cell)
    return None if rate is None or cost is None else rate * cost / 3600


def hours(runs: list[Run], known: Rates) -> tuple[float, int]:
    """Return the hours that ``runs`` take one after the other, and the number of runs of unknown duration."""
    values = [hours_of(run.cell, known) for run in runs]
    return sum(value for value in values if value is not None), values.count(None)


def hours_text(total: float, unknown: int, runs: int) -> str:
    """Return the result of ``hours`` for ``runs`` runs in words."""
    if runs == 0:
        return "nothing to do"
    if unknown == runs:
        return "duration unknown: there are no past runs of these tasks and models"
    rest = f", without {unknown} runs of unknown duration" if unknown else ""
    return f"estimated duration, one run at a time, by past runs: {total:.1f} hours{rest}"


def check_limit(limit: float, total: float, runs: int) -> None:
    """Stop a plan of many hours unless the user has raised the limit.

    Raises:
        HarnessError: ``total`` hours exceed ``limit``.
    """
    if total > limit:
        raise HarnessError(
            f"{runs} runs to do take about {total:.0f} hours, more than the limit of {limit:.0f}; "
            f"to plan them anyway, add: --limit {int(total) + 1}"
        )
