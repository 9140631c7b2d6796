"""The table of claims: each variant against its reference, with what tests and intervals say of it."""

from statistics import fmean
from typing import Any

import numpy as np

from harness.plan.tables import Column, TableSpec, reference_of, rows_of
from harness.report.cells import Cell, Runs, by_cell
from harness.report.claims import Statistics, corrected, paired
from harness.report.flags import place_title
from harness.report.marks import mark_notes
from harness.report.statistics.group import BOOTSTRAPS, PERMUTATIONS
from harness.report.statistics.seeds import holm, reach, seeds_to_decide
from harness.report.table import Block, Table
from harness.report.values import RunRow, run_values

HEAD = [
    "variant",
    "against",
    "difference",
    "95 % interval",
    "p, these models",
    "p, the method",
    "seeds to decide",
]
Pair = tuple[Cell, Cell]


def claims_table(
    name: str, spec: TableSpec, plan: dict[str, Any], runs: list[RunRow], statistics: Statistics
) -> Table:
    """Return one line for each variant and its reference, of each task and model."""
    grouped = by_cell(runs)
    pairs = [pair for cell in plan["cells"].values() for pair in _pair(spec, plan, grouped, cell)]
    lines = _lines(pairs, statistics)
    blocks = [
        Block(place_title(spec, plan, place), [_texts(line) for line in lines if line["place"] == place])
        for place in dict.fromkeys(line["place"] for line in lines)
    ]
    return Table(
        name=name,
        title=f"{plan['experiment']['title']}: {spec.title}",
        about=spec.about,
        banner=plan["experiment"]["banner"],
        cut=", ".join(spec.blocks),
        head=HEAD,
        blocks=blocks,
        numbers=[_facts(spec, line) for line in lines],
        notes=[*_reading(lines), *mark_notes(value for pair in pairs for c in pair for value in c.values)],
    )


def _pair(spec: TableSpec, plan: dict[str, Any], grouped: Runs, facts: dict[str, Any]) -> list[Pair]:
    row, other = facts["variant"], reference_of(spec, facts["variant"])
    if other in (None, row) or row not in rows_of(spec, plan):
        return []
    place = tuple(facts[b] for b in spec.blocks)

    def cell(variant: str) -> Cell:
        own = grouped[facts["task"], facts["model"], variant]
        return Cell(place, variant, Column(task=facts["task"]), run_values(Column(), own, None, plan))

    return [(cell(row), cell(str(other)))]


def _lines(pairs: list[Pair], statistics: Statistics) -> list[dict[str, Any]]:
    """Return what is known of each pair; p-values are corrected over all of them."""
    differences = [paired(*pair) for pair in pairs]
    known = [_known(pair, statistics) for pair in pairs]
    told = [i for i, row in enumerate(known) if row is not None]
    models = dict(zip(told, holm(np.array([known[i]["p_models"] for i in told])), strict=True))
    return [
        {
            "place": own.place,
            "variant": own.row,
            "reference": other.row,
            "marks": "".join(dict.fromkeys(own.marks + other.marks)),
            "seeds": len(found),
            "difference": 100 * fmean(found) if len(found) else None,
            "low": 100 * row["low"] if row is not None else None,
            "high": 100 * row["high"] if row is not None else None,
            "p_models": float(models[i]) if i in models else None,
            "p_method": float(p) if len(found) >= reach(len(pairs)) else None,
            "reach": reach(len(pairs)),
            "decide": seeds_to_decide(found, len(pairs)),
        }
        for i, ((own, other), found, row, p) in enumerate(
            zip(pairs, differences, known, corrected(differences), strict=True)
        )
    ]


def _known(pair: Pair, statistics: Statistics) -> Any:
    own, other = pair
    run = own.values[0].run
    return statistics.get((run["task"], run["model"], own.row, other.row))


def _texts(line: dict[str, Any]) -> list[str]:
    marks = f" {line['marks']}" if line["marks"] else ""
    few = line["p_method"] is None
    return [
        line["variant"],
        line["reference"],
        f"{_signed(line['difference'])}{marks} ({line['seeds']})",
        "-" if line["low"] is None else f"[{_signed(line['low'])}, {_signed(line['high'])}]",
        p_text(line["p_models"]),
        f"n.t. (needs {line['reach']} seeds)" if few else p_text(line["p_method"]),
        _decide(line),
    ]


def _decide(line: dict[str, Any]) -> str:
    if line["seeds"] < 2:
        return "-"
    return "> 1,000" if line["decide"] is None else str(line["decide"])


def _signed(number: float | None) -> str:
    return "-" if number is None else f"{round(number, 1) + 0.0:+.1f}"


def p_text(p: float | None) -> str:
    """Return a p-value as it is written in tables."""
    return "-" if p is None else f"{p:.3f}" if p >= 0.001 else "< 0.001"


def _facts(spec: TableSpec, line: dict[str, Any]) -> dict[str, Any]:
    places = dict(zip(spec.blocks, line["place"], strict=True))
    return places | {key: value for key, value in line.items() if key != "place"}


def _reading(lines: list[dict[str, Any]]) -> list[str]:
    return [
        "difference = score less that of the reference, in points, the mean over paired seeds (how many). "
        f"95 % interval = percentiles of {BOOTSTRAPS:,} draws of examples and seeds; over fewer than about "
        "ten seeds it is too narrow.",
        "p, these models = predictions swapped example by example, in all seeds at once "
        f"({PERMUTATIONS:,} times): do these trained models differ on examples like the reported ones? It "
        "says nothing of other seeds.",
        "p, the method = signs of the differences flipped over seeds: would the method differ when trained "
        "again? n.t. = no result over so few seeds could reach p ≤ 0.05.",
        f"Both p-values are Holm-corrected over the {len(lines)} lines of this table.",
        "seeds to decide = how many in all would show the difference at that level with 80 % power, were "
        "mean and spread over seeds as seen here; from few seeds a rough guess.",
    ]
