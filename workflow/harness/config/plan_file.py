"""The format of ``results/<experiment>/plan.json``, which the Snakefile, jobs and tables read."""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from harness.config.base import Strict
from harness.config.experiment import Experiment
from harness.config.protocol import DROPOUTS, Protocol
from harness.config.task import Metric
from harness.util.errors import HarnessError
from harness.util.paths import display_path

SCHEMA_VERSION: Literal[3] = 3


class PlannedTask(Strict):
    """The facts of a task that tables use."""

    title: str = Field(description="name in tables")
    primary_metric: Metric = Field(description="metric that selection, claims and tables use")
    report: list[str] = Field(description="report splits; the first one is the primary split")
    metrics: list[Metric] = Field(description="metrics of every report split")
    chance: dict[str, float] = Field(
        default={}, description="metric to the score of guessing, which a diverged run counts as; default 0"
    )


class PlannedModel(Strict):
    """The facts of a model that tables use."""

    title: str = Field(description="name in tables")
    contamination: dict[str, str] = Field(
        description="task to the reason why the model was trained on its data"
    )


class Ledger(Strict):
    """Cost and scores of the trials of a finished study."""

    trials: int = Field(description="trials that count: complete, pruned and failed")
    complete: int = Field(description="trials with a score")
    pruned: int = Field(description="trials that the pruner stopped")
    failed: int = Field(description="trials without a score")
    replaced: int = Field(description="trials that were killed, stopped or in error and were replaced")
    forward_equivalents: int | None = Field(
        description="training cost of all records; null if one is older and counts batches"
    )
    evaluation_examples: int | None = Field(description="examples in evaluations; null likewise")
    seconds: float = Field(description="duration of all records")
    best: float | None = Field(description="best score on the selection split")
    best_at: int | None = Field(description="position of the best trial among those that count, from 1")
    defaults: float | None = Field(description="score of the default arguments, the first trial")


class PlannedSearch(Strict):
    """The study that provides the arguments of a cell."""

    study: str = Field(description="hash of the study")
    name: str = Field(description="task/model/variant")
    file: str = Field(description="path of the tuned file")
    awaits_tuning: bool = Field(description="whether the study is not finished yet")
    budget: dict[str, float] = Field(description="kind of budget to its amount")
    defaults: str | None = Field(
        description="variant of the experiment that has the default arguments, if any"
    )
    ledger: Ledger | None = Field(
        description="cost and scores of the trials; null if the study is not finished"
    )


class PlannedCost(Strict):
    """Estimated cost of one run; null if row counts or the model size are unknown."""

    forward: int | None = Field(None, description="forward passes")
    backward: int | None = Field(None, description="backward passes to the parameters")
    input_backward: int | None = Field(None, description="backward passes to the embeddings alone")
    optimizer_steps: int | None = Field(None, description="optimizer steps")
    evaluation_examples: int | None = Field(description="examples in evaluations")
    forward_equivalents: int | None = Field(
        description="training cost in units of one forward pass of one example"
    )
    gpu_hours: float | None = Field(description="estimated duration on one GPU")


class PlannedCell(Strict):
    """A resolved cell: task x model x variant."""

    task: str = Field(description="name of the task")
    model: str = Field(description="name of the model")
    variant: str = Field(description="name of the variant")
    method: str = Field(description="name of the method")
    arguments: dict[str, Any] = Field(description="method arguments")
    protocol: Protocol = Field(description="protocol with all overrides applied")
    identity: str = Field(description="hash of everything that determines the results, except the seed")
    fetched: bool = Field(description="whether the hashes of rows, weights and tokenizer are known")
    tokens: str = Field(description="folder of the token ids")
    tuning: PlannedSearch | None = Field(description="study that provides the arguments, if any")
    cost: PlannedCost = Field(description="estimated cost of one run")


class PlannedRun(Strict):
    """A cell with a seed."""

    name: str = Field(description="task/model/variant/seed<k>")
    cell: str = Field(description="task/model/variant")
    seed: int = Field(description="seed of all random streams")
    key: str = Field(description="hash of the cell identity and the seed")
    folder: str = Field(description="path of the run folder")


def _with_examples(cell: dict[str, Any]) -> dict[str, Any]:
    """Return a cell of version 2 with its cost in examples, as if all batches were complete.

    It had no dropout rates: they were the model's own.
    """
    cost = {name: value for name, value in cell["cost"].items() if name != "evaluation_passes"}
    passes, size = cost["forward_equivalents"], cell["protocol"]["batch_size"]
    cost |= {"forward_equivalents": None if passes is None else round(passes * size)}
    tuning = cell.get("tuning")
    if tuning and (ledger := tuning["ledger"]):
        counted = ("passes", "evaluation_passes")
        ledger = {name: value for name, value in ledger.items() if name not in counted}
        tuning = {**tuning, "ledger": {**ledger, "forward_equivalents": None, "evaluation_examples": None}}
    protocol = {**dict.fromkeys(DROPOUTS), **cell["protocol"]}
    return {**cell, "protocol": protocol, "cost": {**cost, "evaluation_examples": None}, "tuning": tuning}


class PlanFile(Strict):
    """The content of plan.json."""

    schema_version: Literal[3] = Field(default=SCHEMA_VERSION, description="version of this format")
    experiment: Experiment = Field(description="the experiment with its defaults")
    file: str = Field(description="path of the experiment file")
    tasks: dict[str, PlannedTask] = Field(description="tasks by name")
    models: dict[str, PlannedModel] = Field(description="models by name")
    cells: dict[str, PlannedCell] = Field(description="cells by task/model/variant")
    runs: list[PlannedRun] = Field(description="all runs, in the order of cells and seeds")

    @model_validator(mode="before")
    @classmethod
    def _from_version_2(cls, content: Any) -> Any:
        """Convert a plan of version 2, which counts costs in passes of batches."""
        if not isinstance(content, dict) or content.get("schema_version") != 2:
            return content
        cells = {name: _with_examples(cell) for name, cell in content["cells"].items()}
        return {**content, "schema_version": SCHEMA_VERSION, "cells": cells}

    @property
    def variants(self) -> list[str]:
        """Variants in the order of the experiment."""
        return list(dict.fromkeys(cell.variant for cell in self.cells.values()))

    @property
    def places(self) -> list[tuple[str, str]]:
        """Pairs (task, model) in the order of the experiment."""
        return list(dict.fromkeys((cell.task, cell.model) for cell in self.cells.values()))


def read_plan_file(path: Path) -> PlanFile:
    """Return the plan in ``path``.

    Raises:
        HarnessError: the file is missing, or is not a plan of this version.
    """
    if not path.is_file():
        raise HarnessError(f"{display_path(path)}: no such file; write it with: harness plan EXPERIMENT")
    try:
        return PlanFile.model_validate_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        reason = " ".join(str(error).splitlines()[1:3]).strip()
        raise HarnessError(
            f"{display_path(path)}: not a plan of version {SCHEMA_VERSION} ({reason}); "
            "write it again with: harness plan EXPERIMENT"
        ) from None


def planned_file(path: Path) -> Path | None:
    """Return the experiment file that the plan in ``path``, of any version, was made from, if it says so."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    file = content.get("file") if isinstance(content, dict) else None
    return Path(file) if isinstance(file, str) else None
