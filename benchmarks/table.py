"""The tables of ratios, with their geometric means and targets, and of peak memory."""

import math

from tabulate import tabulate

from benchmarks.rows import PRECISIONS, Row
from benchmarks.settings import SETTINGS, Setting


def table(rows: list[Row], about: str) -> str:
    """Return the tables as Markdown."""
    tasks = list(dict.fromkeys(row.task for row in rows))
    ratios = [_ratios(rows, tasks, s, precision) for s in SETTINGS for precision in PRECISIONS]
    peaks = [_peaks(rows, tasks, s, precision) for s in SETTINGS for precision in PRECISIONS]
    parts = [
        "# Our methods compared with the passes of the released codes",
        about,
        "Time of a reference step divided by ours; reference always fp32, same batches, same arguments.",
        tabulate([r for r in ratios if r], headers="keys", tablefmt="github", floatfmt=".2f"),
        "Peak memory of a step, ours / reference (MB above the process without a model):",
        tabulate([r for r in peaks if r], headers="keys", tablefmt="github"),
        "bf16 is counted if it resolves the perturbation, if any (`harness.engine.perturbation`).",
    ]
    return "\n\n".join(parts) + "\n"


def _by_task(rows: list[Row], setting: Setting, precision: str) -> dict[str, Row]:
    return {r.task: r for r in rows if (r.method, r.precision) == (setting.name, precision)}


def _ratios(rows: list[Row], tasks: list[str], setting: Setting, precision: str) -> dict[str, object]:
    by_task = _by_task(rows, setting, precision)
    if not by_task:
        return {}
    values = [row.ratio for row in by_task.values()]
    mean = math.exp(sum(map(math.log, values)) / len(values))
    target = setting.fp32 if precision == "fp32" else setting.bf16
    complete = len(by_task) == len(tasks)
    reached = complete and mean >= target and min(values) >= setting.single
    return {
        "method": setting.name,
        "precision": precision,
        **{task: by_task[task].ratio if task in by_task else "" for task in tasks},
        "geometric mean": mean if complete else f"{len(by_task)} of {len(tasks)} tasks",
        "target": target,
        "reached": "yes" if reached else "no",
        "counted": ", ".join(task for task in tasks if task in by_task and by_task[task].counted) or "no",
    }


def _peaks(rows: list[Row], tasks: list[str], setting: Setting, precision: str) -> dict[str, object]:
    by_task = _by_task(rows, setting, precision)
    if not by_task:
        return {}
    cells = {task: f"{r.ours_peak_mb:.0f} / {r.reference_peak_mb:.0f}" for task, r in by_task.items()}
    within = all(row.ours_peak_mb <= row.reference_peak_mb for row in by_task.values())
    return {
        "method": setting.name,
        "precision": precision,
        **{task: cells.get(task, "") for task in tasks},
        "at most the reference": "yes" if within else "no",
    }
