"""The table of ratios, their geometric means against the aims, and peak memory."""

import math
from typing import Any

from tabulate import tabulate

from benchmarks.settings import SETTINGS, Setting

Row = dict[str, Any]


def table(rows: list[Row], about: str) -> str:
    """Return the tables as Markdown."""
    names = list(dict.fromkeys(row["task"] for row in rows))
    ratios = [_ratios(rows, names, s, precision) for s in SETTINGS for precision in ("fp32", "bf16")]
    peaks = [_peaks(rows, names, s, precision) for s in SETTINGS for precision in ("fp32", "bf16")]
    parts = [
        "# Ours against the released codes' passes",
        about,
        "Time of a reference step over ours: fp32 reference always, same batches, same arguments.",
        tabulate([r for r in ratios if r], headers="keys", tablefmt="github", floatfmt=".2f"),
        "Peak memory of a step, ours / reference (MB above the process without a model):",
        tabulate([r for r in peaks if r], headers="keys", tablefmt="github"),
        "bf16 is counted where it resolves the perturbation, if any (`harness.core.magnitude`).",
    ]
    return "\n\n".join(parts) + "\n"


def _of(rows: list[Row], setting: Setting, precision: str) -> dict[str, Row]:
    return {r["task"]: r for r in rows if (r["method"], r["precision"]) == (setting.name, precision)}


def _ratios(rows: list[Row], names: list[str], setting: Setting, precision: str) -> dict[str, object]:
    found = _of(rows, setting, precision)
    if not found:
        return {}
    values = [row["ratio"] for row in found.values()]
    mean = math.exp(sum(map(math.log, values)) / len(values))
    aim = setting.fp32 if precision == "fp32" else setting.bf16
    whole = len(found) == len(names)
    return {
        "method": setting.name,
        "precision": precision,
        **{name: found[name]["ratio"] if name in found else "" for name in names},
        "geometric mean": mean if whole else f"{len(found)} of {len(names)} tasks",
        "aim": aim,
        "reached": "yes" if whole and mean >= aim and min(values) >= setting.single else "no",
        "counted": ", ".join(name for name in names if name in found and found[name]["counted"]) or "no",
    }


def _peaks(rows: list[Row], names: list[str], setting: Setting, precision: str) -> dict[str, object]:
    found = _of(rows, setting, precision)
    if not found:
        return {}
    cells = {n: f"{r['ours_peak_mb']:.0f} / {r['reference_peak_mb']:.0f}" for n, r in found.items()}
    within = all(row["ours_peak_mb"] <= row["reference_peak_mb"] for row in found.values())
    return {
        "method": setting.name,
        "precision": precision,
        **{name: cells.get(name, "") for name in names},
        "at most the reference": "yes" if within else "no",
    }
