"""Table declarations (``config/tables/*.yaml``), and which of them an experiment has.

Everything here is known from plan.json alone, before any run: Snakemake declares the files.
"""

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from harness.errors import HarnessError, MistakesError, unknown
from harness.paths import CONFIG
from harness.plan import catalogue
from harness.plan.strict import Strict, check
from harness.plan.yamlfile import read_yaml
from harness.runs.record import Cost, Curve

FORMS = ("md", "tex", "csv", "html")
Unit = Literal["percent", "count", "seconds", "megabytes", "ratio"]
FIELDS = [f"cost.{name}" for name in [*Cost.model_fields, "forward_equivalents"]] + [
    f"{curve}.{name}" for curve in ("curve", "report_curve") for name in Curve.model_fields
]
"""Values of a run that a column can show, apart from scores (``report``) and ``compute.<k>``."""
EVERY = "all"


class Column(Strict):
    """One column: which value of a run, of which task, and how it is shown."""

    title: str = Field(default="", description="heading; default: the task's title and metric")
    task: str | None = Field(default=None, description="a task, or `all` for one column a task")
    split: str | list[str] | None = Field(
        default=None, description="report split, or several, of which the task has one; default: its first"
    )
    metric: str | None = Field(default=None, description="default: the metric that ranks")
    value: str = Field(default="report", description="report (a score), compute.<k>, cost.*, curve.*")
    minus: str | None = Field(default=None, description="value of the same run that is taken off")
    relative: Literal["difference", "ratio"] | None = Field(
        default=None, description="difference to the reference, seed by seed, or ratio to its mean"
    )
    unit: Unit = Field(default="percent", description="how numbers are written")
    weight: float = Field(default=1.0, ge=0, description="weight in the average column")
    optional: bool = Field(default=False, description="left out where no run has the value")

    @field_validator("value", "minus")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is None or value == "report" or value in FIELDS or budget(value) is not None:
            return value
        raise ValueError(unknown("value", value, ["report", "compute.<number>", *FIELDS]))


class TableSpec(Strict):
    """One file of ``config/tables``."""

    title: str = Field(description="what the table is called")
    about: str = Field(default="", description="sentences below the title")
    kind: Literal["measured", "settings", "published", "claims", "across", "tuning"] = Field(
        default="measured",
        description="measured values, settings of the methods, published numbers, each row tested against "
        "its reference, all tasks together, or the tuning ledger",
    )
    blocks: list[Literal["task", "model"]] = Field(
        default=["model"], min_length=1, description="what the table is cut by"
    )
    rows: Literal["all"] | list[str] = Field(default="all", description="variants, in this order")
    reference: str | None = Field(default=None, description="variant that relative columns refer to")
    references: dict[str, str] = Field(
        default={}, description="variant to the one that it is compared with; others have none"
    )
    columns: list[Column] = Field(default=[], description="columns, in this order")
    needs: int = Field(default=1, ge=1, description="columns that must be left for the table to be made")
    average: str | None = Field(default=None, description="heading of a column with the columns' average")
    aggregation: Literal["mean", "median"] = Field(default="mean", description="over seeds")
    spread: Literal["sd", "range", "none"] = Field(default="sd", description="over seeds")
    tested: bool = Field(
        default=False, description="scores: bold the best, mark what is better than its reference or vanilla"
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.kind == "measured" and not self.columns:
            raise ValueError("columns for a table of measured values")
        if any(bool(c.task) == ("task" in self.blocks) for c in self.columns):
            raise ValueError("each column to name a task, or blocks to hold `task`, and not both")
        if self.average and "task" in self.blocks:
            raise ValueError("no average where blocks hold `task`")
        if self.reference and self.references:
            raise ValueError("reference or references, not both")
        relative = self.kind in ("claims", "across")
        relative |= any(c.relative or budget(c.value) is not None for c in self.columns)
        if relative and not (self.reference or self.references):
            raise ValueError("a reference for relative columns, compute.<k>, claims and across")
        return self


def budget(value: str) -> float | None:
    """Return k of ``compute.<k>``, None for another value."""
    head, _, tail = value.partition(".")
    try:
        return float(tail) if head == "compute" and float(tail) > 0 else None
    except ValueError:
        return None


def load_tables() -> dict[str, TableSpec]:
    """Return every declared table by name, the main one first.

    Raises:
        MistakesError: wrong declarations, all of them.
    """
    found: dict[str, TableSpec] = {}
    mistakes: list[str] = []
    for name in sorted(catalogue.names("tables"), key=lambda n: (n != "main", n)):
        path = CONFIG / "tables" / f"{name}.yaml"
        spec, wrong = check(TableSpec, read_yaml(path), path)
        mistakes += wrong
        if spec is not None:
            found[name] = spec
            mistakes += [f"config/tables/{name}.yaml: {m}" for m in _unknown_variants(spec)]
    if mistakes:
        raise MistakesError(mistakes)
    return found


def _unknown_variants(spec: TableSpec) -> list[str]:
    listed = [] if spec.rows == EVERY else list(spec.rows)
    named = [*listed, *spec.references, *spec.references.values()]
    named += [spec.reference] if spec.reference else []
    valid = catalogue.variant_names()
    return [unknown("variant", name, valid) for name in dict.fromkeys(named) if name not in valid]


def tables_of(plan: dict[str, Any]) -> dict[str, TableSpec]:
    """Return the tables that the experiment of a plan.json has."""
    return {name: spec for name, spec in load_tables().items() if applies(spec, plan)}


def applies(spec: TableSpec, plan: dict[str, Any]) -> bool:
    """Tell whether the plan has the rows and columns that a table needs."""
    if spec.kind == "tuning":
        return any(cell.get("tuning") for cell in plan["cells"].values())
    if spec.kind in ("settings", "published"):
        return True
    rows = rows_of(spec, plan)
    if spec.kind != "measured":
        compared = any(reference_of(spec, row) not in (None, row) for row in rows)
        return compared and (spec.kind == "claims" or len(plan["tasks"]) > 1)
    if spec.references and not any(row in spec.references for row in rows):
        return False
    return bool(rows) and len(columns_of(spec, plan)) >= spec.needs


def rows_of(spec: TableSpec, plan: dict[str, Any]) -> list[str]:
    """Return the variants of the plan that are rows: listed, and with the reference that they need."""
    present = list(dict.fromkeys(cell["variant"] for cell in plan["cells"].values()))
    listed = present if spec.rows == EVERY else [row for row in spec.rows if row in present]
    return [row for row in listed if reference_of(spec, row) in (None, *present)]


def reference_of(spec: TableSpec, row: str) -> str | None:
    """Return the variant that a row is compared with, None if it has none."""
    return spec.reference or spec.references.get(row)


def columns_of(spec: TableSpec, plan: dict[str, Any]) -> list[Column]:
    """Return the columns whose task the plan has, one a task for ``all``, with splits and metrics settled."""
    found = []
    for column in spec.columns:
        names = list(plan["tasks"]) if column.task == EVERY else [column.task]
        for name in names:
            if name is None:
                found.append(column)
            elif name in plan["tasks"]:
                found.append(_settled(column, name, plan["tasks"][name]))
    return found


def _settled(column: Column, name: str, task: dict[str, Any]) -> Column:
    asked = [column.split] if isinstance(column.split, str) else column.split or task["report"][:1]
    split = next((one for one in asked if one in task["report"]), None)
    metric = column.metric or task["rank"]
    if split is None:
        wrong = unknown("report split", " or ".join(asked), task["report"])
        raise HarnessError(f"config/tables: task {name}: {wrong}")
    if metric not in task["metrics"]:
        raise HarnessError(f"config/tables: task {name}: {unknown('metric', metric, task['metrics'])}")
    title = column.title or f"{task['title']} ({metric})"
    return column.model_copy(update={"task": name, "split": split, "metric": metric, "title": title})
