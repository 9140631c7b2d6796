"""The tables and figures of an experiment: known from the plan, before any run.

Snakemake declares their files as outputs.
"""

from harness.config.experiment import DEFAULT
from harness.config.plan_file import PlanFile, PlannedTask
from harness.config.protocol import Protocol
from harness.config.table import EVERY, Column, TableSpec, budget, load_tables
from harness.util.errors import HarnessError, unknown
from harness.util.paths import CONFIG, PUBLISHED

TABLE_FORMS = ("md", "tex", "csv", "html")
FIGURE_FORMS = ("png", "pdf", "txt")
"""Files of each figure: for screens, for print, and its caption."""
CURVE_POINTS = 2
"""Evaluations during training from which learning curves are drawn."""
INFLATION_POINTS = 3
"""Evaluations during training from which the inflation of the best of several is drawn."""


def declaration_files() -> list[str]:
    """Return the files that tables are declared by and take published numbers from."""
    return sorted(map(str, [*(CONFIG / "tables").glob("*.yaml"), PUBLISHED]))


def figures_of(plan: PlanFile) -> list[str]:
    """Return the names of the figures that the experiment can show."""
    cells = list(plan.cells.values())
    names = ["seeds"]
    if len({cell.variant for cell in cells}) > 1:
        names.append("passes")
    evaluations = max(_evaluations(cell.protocol) for cell in cells)
    names += ["learning-curves"] if evaluations >= CURVE_POINTS else []
    return names + (["inflation"] if evaluations >= INFLATION_POINTS else [])


def _evaluations(protocol: Protocol) -> int:
    """Return the evaluations during training; INFLATION_POINTS if their number depends on the row count."""
    if protocol.steps is not None:
        return INFLATION_POINTS
    return protocol.epochs * protocol.evaluations_per_epoch


def tables_of(plan: PlanFile) -> dict[str, TableSpec]:
    """Return the tables that the experiment has, by name."""
    return {name: spec for name, spec in load_tables(plan.variants).items() if applies(spec, plan)}


def applies(spec: TableSpec, plan: PlanFile) -> bool:
    """Return whether the plan has the rows and columns that a table needs."""
    if spec.kind == "tuning":
        return any(cell.tuning is not None for cell in plan.cells.values())
    if spec.kind in ("hyperparameters", "published"):
        return True
    rows = rows_of(spec, plan)
    if spec.kind != "scores":
        compared = any(reference_of(spec, plan, row) not in (None, row) for row in rows)
        return compared and (spec.kind == "claims" or len(plan.tasks) > 1)
    if spec.references and not any(row in spec.references for row in rows):
        return False
    return bool(rows) and len(columns_of(spec, plan)) >= spec.needs


def rows_of(spec: TableSpec, plan: PlanFile) -> list[str]:
    """Return the variants of the plan that are rows: listed, and with their reference in the plan."""
    present = plan.variants
    listed = present if spec.rows == EVERY else [row for row in spec.rows if row in present]
    return [row for row in listed if reference_of(spec, plan, row) in (None, *present)]


def reference_of(spec: TableSpec, plan: PlanFile, row: str) -> str | None:
    """Return the variant that a row is compared with, or None.

    A tuned row is compared with the tuned form of the table's reference, if the experiment has one: otherwise
    a method would be credited with what tuning gains. ``references`` of the table are taken as they are.
    """
    if row in spec.references:
        return spec.references[row]
    return None if spec.reference is None else alike(plan, row, spec.reference)


def alike(plan: PlanFile, row: str, reference: str) -> str:
    """Return ``reference``, or its tuned form if ``row`` is tuned and the experiment has one."""
    experiment = plan.experiment
    if reference not in experiment.variants or not is_tuned(plan, row) or is_tuned(plan, reference):
        return reference
    base = experiment.base(reference)
    forms = [name for name in plan.variants if is_tuned(plan, name) and experiment.base(name) == base]
    return forms[0] if forms else reference


def is_tuned(plan: PlanFile, variant: str) -> bool:
    """Return whether the arguments of a variant come from a study or a tuned file."""
    return plan.experiment.source(variant) != DEFAULT


def columns_of(spec: TableSpec, plan: PlanFile) -> list[Column]:
    """Return the columns whose task is in the plan, with their splits and metrics resolved.

    A column of ``task: all`` becomes one column per task.
    """
    columns = []
    for column in spec.columns:
        names = list(plan.tasks) if column.task == EVERY else [column.task]
        for name in names:
            if name is None:
                columns.append(column)
            elif name in plan.tasks:
                columns.append(_resolved(column, name, plan.tasks[name]))
    return [column for column in columns if not _covers_all_runs(spec, plan, column)]


def _covers_all_runs(spec: TableSpec, plan: PlanFile, column: Column) -> bool:
    """Return whether a budget covers every complete run, so that the column would show their last scores."""
    count = budget(column.value)
    if count is None:
        return False
    for cell in plan.cells.values():
        reference = reference_of(spec, plan, cell.variant)
        other = plan.cells.get(f"{cell.task}/{cell.model}/{reference}")
        allowed = other.cost.forward_equivalents if other else None
        needed = cell.cost.forward_equivalents
        if allowed is None or needed is None or count * allowed < needed:
            return False
    return True


def _resolved(column: Column, name: str, task: PlannedTask) -> Column:
    """Return ``column`` with the title, split and metric of its task.

    Raises:
        HarnessError: the task has no such report split or metric.
    """
    splits = [column.split] if isinstance(column.split, str) else column.split or task.report[:1]
    split = next((split for split in splits if split in task.report), None)
    metric = column.metric or task.primary_metric
    if split is None:
        message = unknown("report split", " or ".join(splits), task.report)
        raise HarnessError(f"config/tables: task {name}: {message}")
    if metric not in task.metrics:
        raise HarnessError(f"config/tables: task {name}: {unknown('metric', metric, task.metrics)}")
    title = column.title or f"{task.title} ({metric})"
    return column.model_copy(update={"task": name, "split": split, "metric": metric, "title": title})
