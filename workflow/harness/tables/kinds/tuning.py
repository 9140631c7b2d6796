"""The table of tuning: budget, cost and result of each study, and the gain of its values."""

from collections import defaultdict
from statistics import fmean, stdev

from harness.config.plan_file import PlanFile, PlannedCell, PlannedSearch
from harness.config.table import TableSpec
from harness.results.frame import RunRow
from harness.tables.table import Block, Numbers, Table, new_table

HEAD = (
    "study", "budget", "trials", "pruned", "failed", "replaced", "forward equivalents", "evaluated examples",
    "seconds",
    "defaults", "best", "in trial", "gain on the report split",
)  # fmt: skip
TO_DO, NO_DEFAULTS = "to do", "no such variant"
Tuned = tuple[PlannedCell, PlannedSearch]
"""A cell and the study that provides its arguments."""


def tuning_table(name: str, spec: TableSpec, plan: PlanFile, runs: list[RunRow]) -> Table:
    """Return one block per task and model, one row per study."""
    studies, seeds = _studies(plan), len(plan.experiment.seeds)
    blocks: dict[str, list[list[str]]] = {}
    for cells in studies.values():
        blocks.setdefault(_title(plan, cells[0]), []).append(_row(cells, runs, seeds))
    return new_table(
        name,
        spec,
        plan,
        head=list(HEAD),
        blocks=[Block(title, rows) for title, rows in blocks.items()],
        numbers=[_numbers(cell, runs) for cells in studies.values() for cell in cells],
        notes=_notes(studies),
        blocked_by="task, model",
    )


def _studies(plan: PlanFile) -> dict[str, list[Tuned]]:
    """Return the cells of each study, by the study's name."""
    studies: dict[str, list[Tuned]] = defaultdict(list)
    for cell in plan.cells.values():
        if cell.tuning is not None:
            studies[cell.tuning.name].append((cell, cell.tuning))
    return studies


def _title(plan: PlanFile, tuned: Tuned) -> str:
    cell, study = tuned
    task = study.name.split("/")[0]
    title = plan.tasks[task].title if task in plan.tasks else "all tasks"
    return f"{title}, {plan.models[cell.model].title}"


def _row(cells: list[Tuned], runs: list[RunRow], seeds: int) -> list[str]:
    cell, study = cells[0]
    kind, amount = next(iter(study.budget.items()))
    start = [cell.variant, f"{amount:,g} {kind.replace('_', ' ')}"]
    ledger = study.ledger
    if ledger is None:
        return [*start, TO_DO, *["-"] * (len(HEAD) - len(start) - 1)]
    counts = (ledger.trials, ledger.pruned, ledger.failed, ledger.replaced)
    return [
        *start,
        *map(str, counts),
        _count(ledger.forward_equivalents),
        _count(ledger.evaluation_examples),
        f"{ledger.seconds:,.1f}",
        _percent(ledger.defaults),
        _percent(ledger.best),
        str(ledger.best_at),
        "; ".join(_gain_text(tuned, runs, seeds, several=len(cells) > 1) for tuned in cells),
    ]


def _count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"


def _percent(score: float | None) -> str:
    return "-" if score is None else f"{100 * score:.1f}"


def gains(cell: PlannedCell, defaults: str | None, runs: list[RunRow]) -> list[float]:
    """Return the gain over the variant ``defaults`` for each seed, on the report split, in percent points."""
    scores: dict[str, dict[int, float]] = defaultdict(dict)
    for run in runs:
        if (run.task, run.model) == (cell.task, cell.model) and run.score is not None:
            scores[run.variant][run.seed] = run.score
    tuned, default = scores[cell.variant], scores[defaults or ""]
    return [100 * (tuned[seed] - default[seed]) for seed in tuned if seed in default]


def _gain_text(tuned: Tuned, runs: list[RunRow], seeds: int, several: bool) -> str:
    cell, study = tuned
    task = f"{cell.task} " if several else ""
    if study.defaults is None:
        return f"{task}{NO_DEFAULTS}"
    values = gains(cell, study.defaults, runs)
    if not values:
        return f"{task}-"
    spread = f" ±{stdev(values):.1f}" if len(values) > 1 else ""
    return f"{task}{round(fmean(values), 1) + 0.0:+.1f}{spread} ({len(values)}/{seeds})"


def _numbers(tuned: Tuned, runs: list[RunRow]) -> Numbers:
    """Return the cell's line of the CSV."""
    cell, study = tuned
    kind, amount = next(iter(study.budget.items()))
    values = gains(cell, study.defaults, runs)
    return {
        "task": cell.task,
        "model": cell.model,
        "variant": cell.variant,
        "method": cell.method,
        "study_name": study.name,
        "study": study.study,
        "budget": kind,
        "amount": amount,
        **(study.ledger.model_dump() if study.ledger else {}),
        "defaults_variant": study.defaults,
        "gain": fmean(values) if values else None,
        "gain_sd": stdev(values) if len(values) > 1 else None,
        "gain_seeds": len(values),
    }


def _notes(studies: dict[str, list[Tuned]]) -> list[str]:
    notes = [
        "Forward equivalents: training cost of all trials, including pruned ones, in forward passes of one "
        "example (a backward pass counts 2, one to the input only counts 1). Scores in percent on the "
        "selection split.",
        "Gain: tuned arguments minus the defaults, paired by seed; mean ± sample standard deviation (seeds "
        "with both / planned seeds).",
    ]
    cells = [cell for group in studies.values() for cell, study in group if study.defaults is None]
    if cells:
        variants = ", ".join(dict.fromkeys(cell.variant for cell in cells))
        notes.append(f"{NO_DEFAULTS}: the experiment does not train the defaults of {variants}.")
    return notes
