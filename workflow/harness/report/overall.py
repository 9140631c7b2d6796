"""The table across tasks: interquartile mean of all runs, and the probability of improvement."""

from typing import Any

import numpy as np

from harness.plan.tables import TableSpec, reference_of, rows_of
from harness.report.cells import Runs, by_cell
from harness.report.marks import mark_notes
from harness.report.statistics.across import Strata, improvement, interquartile_mean, stratified
from harness.report.statistics.group import BOOTSTRAPS
from harness.report.table import Block, Table
from harness.report.values import RunRow, Value

HEAD = ["variant", "interquartile mean", "probability of improvement"]


def across_table(name: str, spec: TableSpec, plan: dict[str, Any], runs: list[RunRow]) -> Table:
    """Return one block a model, one line a variant."""
    grouped, tasks = by_cell(runs), list(plan["tasks"])
    rows = rows_of(spec, plan)
    lines = [_line(spec, grouped, tasks, model, row) for model in plan["models"] for row in rows]
    return Table(
        name=name,
        title=f"{plan['experiment']['title']}: {spec.title}",
        about=spec.about,
        banner=plan["experiment"]["banner"],
        cut="model",
        head=HEAD,
        blocks=[
            Block(facts["title"], [_texts(line, len(tasks)) for line in lines if line["model"] == model])
            for model, facts in plan["models"].items()
        ],
        numbers=lines,
        notes=[_reading(tasks), *mark_notes(Value(run, None) for run in runs if run["variant"] in rows)],
    )


def _strata(grouped: Runs, tasks: list[str], model: str, variant: str) -> Strata | None:
    """Return the scores in percent, one array a task; None where a task has none."""
    found = [
        np.array([100 * run["score"] for run in grouped[task, model, variant] if "score" in run])
        for task in tasks
    ]
    return found if all(len(scores) for scores in found) else None


def _line(spec: TableSpec, grouped: Runs, tasks: list[str], model: str, row: str) -> dict[str, Any]:
    other = reference_of(spec, row)
    line: dict[str, Any] = {"model": model, "variant": row, "reference": other}
    own = _strata(grouped, tasks, model, row)
    base = _strata(grouped, tasks, model, other) if other not in (None, row) else None
    line["runs"] = sum(map(len, own)) if own else 0
    line |= _with_interval("iqm", f"{model}/{row}", interquartile_mean, own)
    return line | _with_interval("improvement", f"{model}/{row}/{other}", improvement, own, base)


def _with_interval(key: str, name: str, statistic: Any, *methods: Strata | None) -> dict[str, Any]:
    """Return value and interval; without values where a method lacks a task."""
    known = [strata for strata in methods if strata is not None]
    if len(known) < len(methods):
        return dict.fromkeys((key, f"{key}_low", f"{key}_high"))
    low, high = stratified(name, statistic, *known)
    return {key: float(statistic(*known)), f"{key}_low": low, f"{key}_high": high}


def _texts(line: dict[str, Any], tasks: int) -> list[str]:
    iqm = _amount(line, "iqm", 1)
    own = line["reference"] in (None, line["variant"])
    better = "reference" if own else _amount(line, "improvement", 2)
    return [line["variant"], f"{iqm} ({line['runs']} runs)", better]


def _amount(line: dict[str, Any], key: str, digits: int) -> str:
    if line[key] is None:
        return "-"
    return f"{line[key]:.{digits}f} [{line[f'{key}_low']:.{digits}f}, {line[f'{key}_high']:.{digits}f}]"


def _reading(tasks: list[str]) -> str:
    return (
        f"Over {len(tasks)} tasks: {', '.join(tasks)}. Interquartile mean = the mean of the middle half of "
        "all runs, in percent, metrics as they are. Probability of improvement = how often a run of the "
        "variant is better than one of the reference on the same task, ties half, the mean over tasks; 0.5 "
        f"is no difference. In brackets 95 % intervals: {BOOTSTRAPS:,} draws of runs within each task. They "
        "speak of the method on these tasks; over fewer than about ten seeds they are too narrow."
    )
