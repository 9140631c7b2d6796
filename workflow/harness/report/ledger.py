"""The tuning ledger: what each search was allowed, spent and found, and what it gained where it counts."""

from statistics import fmean, stdev
from typing import Any

from harness.plan.tables import TableSpec
from harness.report.table import Block, Table
from harness.report.values import RunRow, present

HEAD = (
    "search", "budget", "trials", "pruned", "failed", "replaced", "passes", "evaluation passes", "seconds",
    "defaults", "best", "in trial", "gain on reported rows",
)  # fmt: skip
COUNTS = ("trials", "pruned", "failed", "replaced")
WAITS, NO_DEFAULTS = "to do", "no such variant"


def ledger_table(name: str, spec: TableSpec, plan: dict[str, Any], runs: list[RunRow]) -> Table:
    """Return one block a task and model, one row a search; ``plan`` is the content of plan.json."""
    searches, seeds = _searches(plan), len(plan["experiment"]["seeds"])
    blocks: dict[str, list[list[str]]] = {}
    for cells in searches.values():
        blocks.setdefault(_place(plan, cells[0]), []).append(_row(cells, runs, seeds))
    return Table(
        name=name,
        title=f"{plan['experiment']['title']}: {spec.title}",
        about=spec.about,
        banner=plan["experiment"]["banner"],
        cut="task, model",
        head=list(HEAD),
        blocks=[Block(title, rows) for title, rows in blocks.items()],
        numbers=[_facts(cell, runs) for cells in searches.values() for cell in cells],
        notes=_notes(searches),
    )


def _searches(plan: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the cells of each search, by the search's name."""
    found: dict[str, list[dict[str, Any]]] = {}
    for cell in plan["cells"].values():
        if cell.get("tuning"):
            found.setdefault(cell["tuning"]["name"], []).append(cell)
    return found


def _place(plan: dict[str, Any], cell: dict[str, Any]) -> str:
    task = cell["tuning"]["name"].split("/")[0]
    title = plan["tasks"][task]["title"] if task in plan["tasks"] else "all tasks"
    return f"{title}, {plan['models'][cell['model']]['title']}"


def _row(cells: list[dict[str, Any]], runs: list[RunRow], seeds: int) -> list[str]:
    tuning = cells[0]["tuning"]
    kind, amount = next(iter(tuning["budget"].items()))
    start = [cells[0]["variant"], f"{amount:,g} {kind}"]
    ledger = tuning["ledger"]
    if ledger is None:
        return [*start, WAITS, *["-"] * (len(HEAD) - len(start) - 1)]
    return [
        *start,
        *(str(ledger[key]) for key in COUNTS),
        f"{ledger['passes']:,.0f}",
        f"{ledger['evaluation_passes']:,}",
        f"{ledger['seconds']:,.1f}",
        _percent(ledger["defaults"]),
        _percent(ledger["best"]),
        str(ledger["best_at"]),
        "; ".join(_gain_text(cell, runs, seeds, several=len(cells) > 1) for cell in cells),
    ]


def _percent(score: float | None) -> str:
    return "-" if score is None else f"{100 * score:.1f}"


def gains(cell: dict[str, Any], runs: list[RunRow]) -> list[float]:
    """Return the gain of each seed over the defaults on the reported rows, in percent points."""
    scores: dict[str, dict[int, float]] = {}
    for run in runs:
        score = present(run.get("score"))
        if (run["task"], run["model"]) == (cell["task"], cell["model"]) and score is not None:
            scores.setdefault(run["variant"], {})[run["seed"]] = score
    ours = scores.get(cell["variant"], {})
    theirs = scores.get(cell["tuning"]["defaults"] or "", {})
    return [100 * (ours[seed] - theirs[seed]) for seed in ours if seed in theirs]


def _gain_text(cell: dict[str, Any], runs: list[RunRow], seeds: int, several: bool) -> str:
    task = f"{cell['task']} " if several else ""
    if cell["tuning"]["defaults"] is None:
        return f"{task}{NO_DEFAULTS}"
    found = gains(cell, runs)
    if not found:
        return f"{task}-"
    spread = f" ±{stdev(found):.1f}" if len(found) > 1 else ""
    return f"{task}{round(fmean(found), 1) + 0.0:+.1f}{spread} ({len(found)}/{seeds})"


def _facts(cell: dict[str, Any], runs: list[RunRow]) -> dict[str, Any]:
    """Return the cell's line of the CSV."""
    tuning, found = cell["tuning"], gains(cell, runs)
    kind, amount = next(iter(tuning["budget"].items()))
    facts = {key: cell[key] for key in ("task", "model", "variant", "method")}
    facts |= {"search": tuning["name"], "study": tuning["study"], "budget": kind, "amount": amount}
    return facts | (tuning["ledger"] or {}) | {
        "defaults_variant": tuning["defaults"],
        "gain": fmean(found) if found else None,
        "gain_sd": stdev(found) if len(found) > 1 else None,
        "gain_seeds": len(found),
    }  # fmt: skip


def _notes(searches: dict[str, list[dict[str, Any]]]) -> list[str]:
    notes = [
        "Passes: those of training in all trials, cut-short ones included, counted, in forward passes' worth "
        "(a backward pass counts 2, one to the input alone 1). Scores in percent on the selection rows.",
        "Gain: tuned arguments less the defaults, seed by seed; mean ± sample standard deviation "
        "(seeds with both / seeds planned).",
    ]
    cells = [cell for group in searches.values() for cell in group]
    if alone := [cell["variant"] for cell in cells if cell["tuning"]["defaults"] is None]:
        notes.append(
            f"{NO_DEFAULTS}: the experiment does not train the defaults of {', '.join(dict.fromkeys(alone))}."
        )
    return notes
