"""The output of a study: the tuned file that training reads, and the records of its trials."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from harness.config.base import Strict, check
from harness.config.yaml_loader import read_yaml
from harness.util.errors import ConfigErrors, HarnessError
from harness.util.paths import display_path

SCHEMA_VERSION = 1
Value = bool | int | float | str | None
Values = dict[str, Value]
"""Name of a method argument or protocol setting to its value."""
Outcome = Literal["complete", "pruned", "failed"]
COMPLETE: Outcome = "complete"
PRUNED: Outcome = "pruned"
FAILED: Outcome = "failed"
SETTLED: tuple[Outcome, ...] = (COMPLETE, PRUNED, FAILED)
"""Outcomes that count. A trial that was killed, stopped or in error is replaced by a new one."""


class Tuned(Strict):
    """``results/<experiment>/tuned/<task>/<model>/<variant>.yaml``, or a copy of one."""

    schema_version: int = Field(ge=SCHEMA_VERSION, le=SCHEMA_VERSION, description="version of this format")
    method: str = Field(description="name of the method")
    variant: str = Field(description="variant whose arguments were tuned")
    tasks: list[str] = Field(min_length=1, description="tasks of the study")
    model: str = Field(description="model of the study")
    arguments: Values = Field(description="best values of the method arguments")
    settings: Values = Field(description="best values of the protocol settings")
    selection: dict[str, Any] = Field(
        description="metric, best trial and its score, score of the default arguments"
    )
    study: str = Field(pattern="^[0-9a-f]{64}$", description="hash of the study")
    source: str = Field(pattern="^[0-9a-f]{64}$", description="hash of the method's source")
    space: dict[str, Any] = Field(description="search space: range or values of each argument and setting")
    budget: dict[str, int | float] = Field(description="kind of budget to its amount")
    search: dict[str, Any] = Field(
        description="sampler, pruner, seeds, workers, trials, and whether the study is reproducible"
    )
    commit: str | None = Field(description="commit of the code that the best trial ran with")
    dirty: bool | None = Field(description="whether that code had uncommitted changes")

    @property
    def values(self) -> Values:
        """Arguments and settings in one mapping."""
        return {**self.settings, **self.arguments}


def read_tuned(path: Path) -> Tuned:
    """Return the tuned file in ``path``.

    Raises:
        HarnessError: the file cannot be read, or is not a tuned file.
    """
    tuned, errors = check(Tuned, read_yaml(path), path)
    if tuned is None:
        raise ConfigErrors(errors)
    return tuned


class TrialRecord(Strict):
    """One trial: a line of ``<variant>.trials.jsonl`` beside the tuned file."""

    trial: int = Field(description="Optuna's trial number, from 0")
    worker: int | None = Field(description="number of the worker that ran the trial, from 1")
    code: dict[str, Any] = Field(description="commit of the code, and whether it had uncommitted changes")
    outcome: str = Field(
        description="complete, pruned or failed; otherwise the reason why the trial does not count"
    )
    defaults: bool = Field(description="whether the trial has the default arguments")
    values: Values
    score: float | None = Field(description="score on the selection split; null unless complete")
    last_score: float | None = Field(
        description="score of the last evaluation at which the metric is defined"
    )
    scores: list[float | None] = Field(description="scores of all evaluations, in their order")
    forward_passes: int
    backward_passes: int
    input_backward_passes: int
    optimizer_steps: int
    seconds: float
    forward_equivalents: int | None = Field(
        default=None, description="training cost in forward passes of one example; null in older records"
    )
    evaluation_examples: int | None = Field(
        default=None, description="examples in evaluations; null in older records"
    )
    reason: str = Field(description="reason of a failure; otherwise empty")

    @model_validator(mode="before")
    @classmethod
    def _from_batches(cls, content: Any) -> Any:
        """Leave out costs that count batches: their size is not in the record."""
        if not isinstance(content, dict):
            return content
        return {name: value for name, value in content.items() if name not in ("passes", "evaluation_passes")}


def records_path(tuned: Path) -> Path:
    """Return the path of the trial records that belong to a tuned file."""
    return tuned.with_suffix(".trials.jsonl")


def read_records(path: Path) -> list[TrialRecord]:
    """Return the trials in ``path``, in their order.

    Raises:
        HarnessError: a line is not a trial record.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    try:
        return [TrialRecord.model_validate_json(line) for line in lines]
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise HarnessError(f"{display_path(path)}: not readable as trial records: {reason}") from None
