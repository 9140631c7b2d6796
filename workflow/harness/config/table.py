"""Table declarations: one file of ``config/tables`` per table."""

from collections.abc import Collection, Iterable
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from harness.config import catalogue
from harness.config.base import Strict, check
from harness.config.result import Cost, Curve
from harness.config.yaml_loader import read_yaml
from harness.util.errors import ConfigErrors, unknown
from harness.util.paths import CONFIG

Unit = Literal["percent", "count", "seconds", "megabytes", "ratio"]
TableKind = Literal["scores", "hyperparameters", "published", "claims", "across-tasks", "tuning"]
FORMER_KINDS = {"measured": "scores", "settings": "hyperparameters", "across": "across-tasks"}
"""Former names of kinds. A former name is an error that states the present one."""
FIELDS = [f"cost.{name}" for name in [*Cost.model_fields, "forward_equivalents"]] + [
    f"{curve}.{name}" for curve in ("curve", "report_curve") for name in Curve.model_fields
]
"""Values of a run that a column can show, apart from scores (``report``) and ``compute.<k>``."""
EVERY = "all"
"""All variants as rows, or one column per task."""


class Column(Strict):
    """One column: a value of each run, and its unit."""

    title: str = Field(default="", description="heading; default: the task's title and metric")
    task: str | None = Field(default=None, description="a task, or `all` for one column per task")
    split: str | list[str] | None = Field(
        default=None,
        description="report split, or a list of which the first that the task has is used; default: the "
        "primary split",
    )
    metric: str | None = Field(default=None, description="default: the primary metric")
    value: str = Field(
        default="report",
        description="report (a score), compute.<k> (score at k times the reference's cost), cost.*, curve.*",
    )
    minus: str | None = Field(default=None, description="value of the same run to subtract")
    relative: Literal["difference", "ratio"] | None = Field(
        default=None, description="difference to the reference for each seed, or ratio to its mean"
    )
    unit: Unit = Field(default="percent", description="unit, which sets the number of digits")
    weight: float = Field(default=1.0, ge=0, description="weight in the average column")
    optional: bool = Field(default=False, description="whether the column is omitted if no run has the value")

    @field_validator("value", "minus")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is None or value == "report" or value in FIELDS or budget(value) is not None:
            return value
        raise ValueError(unknown("value", value, ["report", "compute.<number>", *FIELDS]))


class TableSpec(Strict):
    """One file of ``config/tables``."""

    title: str = Field(description="title of the table, after the experiment's")
    about: str = Field(default="", description="sentences below the title")
    kind: TableKind = Field(
        default="scores",
        description="scores and other values of runs, hyperparameters, published numbers, claims (each row "
        "tested against its reference), across-tasks (all tasks together), or tuning (cost of studies)",
    )
    blocks: list[Literal["task", "model"]] = Field(
        default=["model"], min_length=1, description="one block of rows per model, or per task and model"
    )
    rows: Literal["all"] | list[str] = Field(default="all", description="variants, in this order")
    reference: str | None = Field(default=None, description="variant that relative columns refer to")
    references: dict[str, str] = Field(
        default={}, description="variant to its reference; variants that are not listed have none"
    )
    columns: list[Column] = Field(default=[], description="columns, in this order")
    needs: int = Field(default=1, ge=1, description="smallest number of columns for which the table is made")
    average: str | None = Field(default=None, description="heading of a column with the columns' average")
    aggregation: Literal["mean", "median"] = Field(default="mean", description="aggregate over seeds")
    spread: Literal["sd", "range", "none"] = Field(default="sd", description="spread over seeds")
    tested: bool = Field(
        default=False,
        description="whether scores are tested: the best is bold, and scores significantly better than the "
        "reference's or vanilla's are marked",
    )

    @field_validator("kind", mode="before")
    @classmethod
    def _present_kind(cls, value: object) -> object:
        if value in FORMER_KINDS:
            raise ValueError(f"{value} is now {FORMER_KINDS[str(value)]}")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.kind == "scores" and not self.columns:
            raise ValueError("columns for a table of scores")
        if any(bool(c.task) == ("task" in self.blocks) for c in self.columns):
            raise ValueError("either each column to name a task, or blocks to contain `task`")
        if self.average and "task" in self.blocks:
            raise ValueError("no average, since blocks contain `task`")
        if self.reference and self.references:
            raise ValueError("reference or references, not both")
        relative = self.kind in ("claims", "across-tasks")
        relative |= any(c.relative or budget(c.value) is not None for c in self.columns)
        if relative and not (self.reference or self.references):
            raise ValueError("a reference for relative columns, compute.<k>, claims and across-tasks")
        return self


def budget(value: str) -> float | None:
    """Return k of ``compute.<k>``, or None for another value."""
    head, _, tail = value.partition(".")
    try:
        return float(tail) if head == "compute" and float(tail) > 0 else None
    except ValueError:
        return None


def load_tables(variants: Iterable[str] = ()) -> dict[str, TableSpec]:
    """Return every declared table by name, the main one first.

    A table may name variants of the catalogue, of any experiment in ``config``, and ``variants``.

    Raises:
        ConfigErrors: all errors of all table files.
    """
    specs: dict[str, TableSpec] = {}
    errors: list[str] = []
    valid = {*catalogue.variant_names(), *_variants_of_experiments(), *variants}
    for name in sorted(catalogue.names("tables"), key=lambda n: (n != "main", n)):
        path = CONFIG / "tables" / f"{name}.yaml"
        spec, spec_errors = check(TableSpec, read_yaml(path), path)
        errors += spec_errors
        if spec is not None:
            specs[name] = spec
            errors += [f"config/tables/{name}.yaml: {message}" for message in _unknown_variants(spec, valid)]
    if errors:
        raise ConfigErrors(errors)
    return specs


def _variants_of_experiments() -> set[str]:
    """Return the names of all variants of the experiments in ``config``."""
    names: set[str] = set()
    for path in CONFIG.glob("*.yaml"):
        if path.stem != "variants":  # the catalogue
            names.update(map(str, read_yaml(path).get("variants") or ()))
    return names


def _unknown_variants(spec: TableSpec, valid: Collection[str]) -> list[str]:
    """Return an error for each variant that the table names and that does not exist."""
    listed = [] if spec.rows == EVERY else list(spec.rows)
    named = [*listed, *spec.references, *spec.references.values()]
    named += [spec.reference] if spec.reference else []
    return [unknown("variant", name, valid) for name in dict.fromkeys(named) if name not in valid]
