"""The table of hyperparameters: the planned settings and arguments of each task, model and variant."""

from collections.abc import Iterator

from harness.config.plan_file import PlanFile, PlannedCell
from harness.config.protocol import Protocol
from harness.config.table import TableSpec
from harness.tables.table import Block, Numbers, Table, new_table

ABSENT = "none"
Lines = dict[str, list[str]]
"""Setting or argument to its values, one per task."""


def hyperparameters_table(name: str, spec: TableSpec, plan: PlanFile) -> Table:
    """Return one block per model: settings as rows, tasks as columns."""
    tasks = list(plan.tasks)
    blocks: list[Block] = []
    numbers: list[Numbers] = []
    for model, facts in plan.models.items():
        lines = list(_lines(plan, tasks, model))
        blocks.append(Block(facts.title, [[setting, *values] for setting, values in lines]))
        numbers += [
            {"model": model, "task": task, "setting": setting, "value": value}
            for setting, values in lines
            for task, value in zip(tasks, values, strict=True)
        ]
    return new_table(
        name,
        spec,
        plan,
        head=["setting", *(plan.tasks[task].title for task in tasks)],
        blocks=blocks,
        numbers=numbers,
        notes=[f"Seeds: {', '.join(map(str, plan.experiment.seeds))}."],
    )


def _lines(plan: PlanFile, tasks: list[str], model: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each setting with its values: the protocol, then what is specific to each variant.

    A variant shows all arguments of its method, or those in which it differs from the first variant of the
    same method.
    """
    cells = {v: [plan.cells[f"{task}/{model}/{v}"] for task in tasks] for v in plan.variants}
    common = _protocol(next(iter(cells.values())))
    yield from common.items()
    first: dict[str, Lines] = {}
    for variant, line in cells.items():
        arguments = _arguments(line)
        before = first.setdefault(line[0].method, {})
        lines = {k: v for k, v in _protocol(line).items() if v != common[k]}
        lines |= {k: v for k, v in arguments.items() if v != before.get(k)}
        first[line[0].method] = before or arguments
        yield from ((f"{variant}: {key}", values) for key, values in lines.items())


def _protocol(line: list[PlannedCell]) -> Lines:
    return {key: [_text(getattr(cell.protocol, key)) for cell in line] for key in Protocol.model_fields}


def _arguments(line: list[PlannedCell]) -> Lines:
    return {key: [_text(cell.arguments[key]) for cell in line] for key in line[0].arguments}


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value))
    return ABSENT if value is None else str(value).lower() if isinstance(value, bool) else str(value)
