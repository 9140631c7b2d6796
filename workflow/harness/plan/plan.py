"""The plan: ``results/<experiment>/plan.json``, all that the Snakefile reads."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.paths import RESULTS, shown
from harness.plan.cost import cost_of
from harness.plan.experiment import Experiment, load_experiment
from harness.plan.grid import Cell, Run, runs
from harness.plan.ledger import ledger_of, read_records, records_path
from harness.plan.resolve import resolve
from harness.plan.study import Study
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

    def studies(self, waiting: bool = False) -> list[Study]:
        """Return the searches that arguments come from; those still to do alone where asked for."""
        found = {c.study.name: c.study for c in self.cells if c.study and (c.waits or not waiting)}
        return list(found.values())

    def tuned_file(self, study: Study) -> Path:
        """Return where the values that a search found are kept."""
        return self.folder / "tuned" / study.file

    def tokens_folder(self, cell: Cell) -> Path:
        """Return where the token ids of ``cell`` lie; experiments share them."""
        return self.cache / "tokens" / cell.task_name / f"{cell.model_name}-{cell.tokens_key}"

    @property
    def cache(self) -> Path:
        """``results/cache``: fetched data and models, token ids; experiments share it."""
        return self.results / "cache"

    @property
    def fetched_data(self) -> Path:
        """Where ``fetch`` keeps rows, in the layout of a data root."""
        return self.cache / "data"

    @property
    def fetched_models(self) -> Path:
        """Where ``fetch`` keeps models, one folder each."""
        return self.cache / "models"

    def unfetched(self) -> list[str]:
        """Return ``task qnli`` and ``model roberta-large`` for all whose rows or weights nobody has seen."""
        tasks = {f"task {c.task_name}": None for c in self.cells if c.task.unknown_parts()}
        models = {f"model {c.model_name}": None for c in self.cells if not c.model.known}
        return [*tasks, *models]

    def fetch_command(self) -> str:
        """Return the command that brings everything that the plan needs."""
        if self.file.suffix:
            return f"python -m harness fetch {shown(self.file)}"
        tasks, models = self.experiment.tasks, self.experiment.models
        names = [f"--task {t}" for t in tasks] + [f"--model {m.replace('--', '/')}" for m in models]
        return f"python -m harness fetch {' '.join(names)}"

    def must_be_fetched(self) -> str | None:
        """Return the one line that says what is not fetched and what to type, None if nothing is."""
        missing = self.unfetched()
        if not missing:
            return None
        return f"not fetched: {', '.join(missing)}; type first: {self.fetch_command()}"

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
            "cells": {c.name: self._cell_json(c) for c in self.cells},
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

    def _cell_json(self, cell: Cell) -> dict[str, Any]:
        cost = cost_of(cell, self.experiment.gpu_tflops)
        return {
            "task": cell.task_name,
            "model": cell.model_name,
            "variant": cell.variant,
            "method": cell.method.name,
            "arguments": cell.method.arguments.model_dump(),
            "protocol": cell.protocol.model_dump(),
            "identity": cell.identity,
            "fetched": cell.fetched,
            "tokens": str(self.tokens_folder(cell)),
            "tuning": self._tuning_json(cell.study, cell) if cell.study else None,
            "cost": {
                **(cost.training.as_dict() if cost.training else {}),
                "evaluation_passes": cost.evaluation,
                "forward_equivalents": cost.worth,
                "gpu_hours": cost.gpu_hours,
            },
        }

    def _tuning_json(self, study: Study, cell: Cell) -> dict[str, Any]:
        """Return where a cell's arguments come from, and the variant that has them without a search."""
        records = records_path(self.tuned_file(study))
        base = next(c for c in study.cells if c.task_name == cell.task_name)
        place = (cell.task_name, cell.model_name)
        same = [c for c in self.cells if (c.task_name, c.model_name) == place and c.identity == base.identity]
        return {
            "study": study.hash,
            "name": study.name,
            "file": str(self.tuned_file(study)),
            "waits": cell.waits,
            "budget": study.tuning.budget,
            "defaults": same[0].variant if same else None,
            "ledger": None if cell.waits or not records.is_file() else ledger_of(read_records(records)),
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
    cells = resolve(experiment, file, results)
    return Plan(file, experiment, cells, runs(cells, experiment.seeds), results)


def write_plan(plan: Plan) -> Path:
    """Write plan.json unless it already says the same (its time of change counts as news)."""
    path = plan.folder / "plan.json"
    text = json.dumps(plan.as_json(), indent=1) + "\n"
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)
    return path
