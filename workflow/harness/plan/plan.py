"""The plan: ``results/<experiment>/plan.json``, all that the Snakefile reads."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.paths import RESULTS, shown
from harness.plan.cost import forward_equivalents, training_passes
from harness.plan.experiment import Experiment, load_experiment
from harness.plan.grid import Cell, Run, resolve, runs
from harness.runs.atomic import write_text

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Plan:
    """An experiment resolved: its runs, and where everything lies."""

    file: Path
    experiment: Experiment
    cells: list[Cell]
    runs: list[Run]
    results: Path = RESULTS

    @property
    def folder(self) -> Path:
        """``results/<experiment>``."""
        return self.results / self.experiment.name

    def run_folder(self, run: Run) -> Path:
        """Return where ``run`` keeps its record."""
        return self.folder / "runs" / run.folder

    def tokens_folder(self, cell: Cell) -> Path:
        """Return where the token ids of ``cell`` lie; experiments share them."""
        return self.results / "cache" / "tokens" / cell.task_name / f"{cell.model_name}-{cell.tokens_key}"

    def as_json(self) -> dict[str, Any]:
        """Return the content of plan.json."""
        return {
            "schema_version": SCHEMA_VERSION,
            "experiment": self.experiment.model_dump(),
            "file": shown(self.file),
            "tasks": {
                c.task_name: c.task.model_dump(mode="json", include={"title", "rank", "report", "metrics"})
                for c in self.cells
            },
            "models": {c.model_name: {"title": c.model.title, "seen": c.model.seen} for c in self.cells},
            "cells": {c.name: _cell_json(c, self.tokens_folder(c)) for c in self.cells},
            "runs": [
                {
                    "name": run.name,
                    "cell": run.cell.name,
                    "seed": run.seed,
                    "key": run.key,
                    "folder": str(self.run_folder(run)),
                }
                for run in self.runs
            ],
        }


def _cell_json(cell: Cell, tokens: Path) -> dict[str, Any]:
    passes = training_passes(cell)
    return {
        "task": cell.task_name,
        "model": cell.model_name,
        "variant": cell.variant,
        "method": cell.method.name,
        "arguments": cell.method.arguments.model_dump(),
        "protocol": cell.protocol.model_dump(),
        "identity": cell.identity,
        "tokens": str(tokens),
        "cost": {**passes.as_dict(), "forward_equivalents": forward_equivalents(passes)},
    }


def make_plan(file: Path, results: Path = RESULTS) -> Plan:
    """Return the plan of the experiment in ``file``, checked as a whole.

    Raises:
        HarnessError: the file cannot be read, or holds mistakes (all of them are told).
    """
    experiment = load_experiment(file)
    return plan_of(experiment, file, results)


def plan_of(experiment: Experiment, file: Path, results: Path = RESULTS) -> Plan:
    """Return the plan of an experiment that is already read."""
    cells = resolve(experiment, file)
    return Plan(file, experiment, cells, runs(cells, experiment.seeds), results)


def write_plan(plan: Plan) -> Path:
    """Write plan.json unless it already says the same (its time of change counts as news)."""
    path = plan.folder / "plan.json"
    text = json.dumps(plan.as_json(), indent=1) + "\n"
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)
    return path
