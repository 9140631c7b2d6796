"""The table of hyper-parameters: what the plan settles for each task, model and variant."""

from collections.abc import Iterator
from typing import Any

from harness.plan.tables import TableSpec
from harness.report.table import Block, Table

ABSENT = "none"


def settings_table(name: str, spec: TableSpec, plan: dict[str, Any]) -> Table:
    """Return one block a model: rows settings, columns tasks."""
    tasks = list(plan["tasks"])
    blocks, numbers = [], []
    for model, facts in plan["models"].items():
        lines = list(_lines(plan, tasks, model))
        blocks.append(Block(facts["title"], [[name, *values] for name, values in lines]))
        numbers += [
            {"model": model, "task": task, "setting": name, "value": value}
            for name, values in lines
            for task, value in zip(tasks, values, strict=True)
        ]
    return Table(
        name=name,
        title=f"{plan['experiment']['title']}: {spec.title}",
        about=spec.about,
        banner=plan["experiment"]["banner"],
        cut="model",
        head=["setting", *(plan["tasks"][task]["title"] for task in tasks)],
        blocks=blocks,
        numbers=numbers,
        notes=[f"Seeds: {', '.join(map(str, plan['experiment']['seeds']))}."],
    )


def _lines(plan: dict[str, Any], tasks: list[str], model: str) -> Iterator[tuple[str, list[str]]]:
    """Yield (setting, one text a task): the protocol, then what each variant has of its own.

    A variant shows all arguments of its method, or those in which it differs from the first variant of
    the same method.
    """
    cells = plan["cells"]
    variants = dict.fromkeys(cell["variant"] for cell in cells.values())
    lines = {v: [cells[f"{t}/{model}/{v}"] for t in tasks] for v in variants}
    common = _column(next(iter(lines.values())), "protocol")
    yield from common.items()
    first: dict[str, dict[str, list[str]]] = {}
    for variant, line in lines.items():
        before = first.setdefault(line[0]["method"], {})
        own = {k: v for k, v in _column(line, "protocol").items() if v != common[k]}
        own |= {k: v for k, v in _column(line, "arguments").items() if v != before.get(k)}
        first[line[0]["method"]] = before or _column(line, "arguments")
        yield from ((f"{variant}: {key}", values) for key, values in own.items())


def _column(line: list[dict[str, Any]], group: str) -> dict[str, list[str]]:
    return {key: [_text(cell[group][key]) for cell in line] for key in line[0][group]}


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value))
    return ABSENT if value is None else str(value).lower() if isinstance(value, bool) else str(value)
