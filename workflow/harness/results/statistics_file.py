"""``statistics.parquet``: all statistics that need predictions, computed once for each task and model."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from harness.config.plan_file import PlanFile
from harness.plan.outputs import alike, reference_of, rows_of, tables_of
from harness.results.comparisons import comparisons_path
from harness.statistics.group import BOOTSTRAPS, PERMUTATIONS, Group, Pair, bootstrap, interval, swap_p
from harness.util.files import complete_file

VERSION = 1
"""Raise it when the same predictions give other statistics."""
DEFAULT = "vanilla"
"""Reference of every variant for which no table names one."""


@dataclass(frozen=True)
class StatisticsRow:
    """Statistics of one variant, or of its difference to ``reference``, on the primary report split."""

    task: str
    model: str
    variant: str
    reference: str
    """Empty: the row is about the variant's mean score."""
    metric: str
    split: str
    key: str
    """Hash of everything that the row depends on."""
    seeds: int
    examples: int
    estimate: float
    """Mean over the seeds (those that both have): of the score, or of the difference."""
    low: float
    """Bounds of the 95 % interval over seeds and examples."""
    high: float
    p_models: float | None = None
    """p-value of swapped predictions, for a difference."""


Statistics = Mapping[tuple[str, str, str, str], StatisticsRow]
"""Task, model, variant and reference to a row."""
COLUMNS = [column.name for column in fields(StatisticsRow)]


def statistics_path(folder: Path) -> Path:
    """Return the path of the statistics in an experiment's folder."""
    return folder / "statistics.parquet"


def read_statistics(folder: Path) -> Statistics:
    """Return the statistics of an experiment's folder."""
    rows = _read_rows(statistics_path(folder))
    return {(row.task, row.model, row.variant, row.reference): row for row in rows}


def _read_rows(path: Path) -> list[StatisticsRow]:
    import pandas as pd

    records = pd.read_parquet(path, columns=COLUMNS).to_dict("records")
    rows = [{str(name): value for name, value in record.items()} for record in records]
    return [
        StatisticsRow(**{**row, "p_models": None if pd.isna(row["p_models"]) else row["p_models"]})
        for row in rows
    ]


def write_statistics(plan: PlanFile, folder: Path) -> Path:
    """Write the statistics of ``comparisons.parquet`` in ``folder``; return the path.

    Rows that were computed from the same predictions before are kept.
    """
    import pandas as pd

    path = statistics_path(folder)
    previous = _read_rows(path) if path.is_file() else []
    rows: list[StatisticsRow] = []
    for task, model in plan.places:
        variants = [c.variant for c in plan.cells.values() if (c.task, c.model) == (task, model)]
        group = read_group(plan, folder, task, model, variants)
        pairs = pairs_of(plan, variants)
        key = _key(group, pairs)
        kept = [row for row in previous if row.key == key]
        rows += kept or _rows(group, pairs, variants, key, plan)
    frame = pd.DataFrame([asdict(row) for row in rows], columns=COLUMNS)
    frame = frame.astype({"seeds": "int64", "examples": "int64", "p_models": "float64"})
    with complete_file(path) as temporary:
        frame.to_parquet(temporary, index=False, compression="zstd")
    return path


def pairs_of(plan: PlanFile, variants: list[str]) -> list[Pair]:
    """Return the positions of each variant and of its references: those of the tables, and DEFAULT."""
    names = {(row, alike(plan, row, DEFAULT)) for row in variants}
    for spec in tables_of(plan).values():
        names |= {(row, str(reference_of(spec, plan, row))) for row in rows_of(spec, plan)}
    position = {variant: i for i, variant in enumerate(variants)}
    return sorted((position[a], position[b]) for a, b in names if a != b and a in position and b in position)


def read_group(plan: PlanFile, folder: Path, task: str, model: str, variants: list[str]) -> Group:
    """Return the predictions of a task and model on the primary report split."""
    import pyarrow.parquet as pq

    planned, seeds = plan.tasks[task], plan.experiment.seeds
    where = [("task", "=", task), ("model", "=", model), ("split", "=", planned.report[0])]
    names = ["variant", "seed", "row", "label", "prediction"]
    table = pq.read_table(comparisons_path(folder), columns=names, filters=where)
    table = table.unify_dictionaries().combine_chunks()
    rows, example = np.unique(table["row"].to_numpy(), return_inverse=True)
    labels = np.zeros(len(rows))
    labels[example] = table["label"].to_numpy()
    predictions = np.full((len(variants), len(seeds), len(rows)), np.nan)
    variant = table["variant"].combine_chunks()
    positions = np.array([variants.index(name) for name in variant.dictionary.to_pylist()], dtype=int)
    seed = np.argsort(seeds)[np.searchsorted(np.sort(seeds), table["seed"].to_numpy())]
    predictions[positions[variant.indices.to_numpy()], seed, example] = table["prediction"].to_numpy()
    return Group(f"{task}/{model}", planned.primary_metric, labels, predictions)


def _key(group: Group, pairs: list[Pair]) -> str:
    """Return a hash of everything that the statistics of a group depend on."""
    state = hashlib.sha256(
        repr((VERSION, group.name, group.metric, pairs, PERMUTATIONS, BOOTSTRAPS)).encode()
    )
    for array in (group.labels, group.predictions):
        state.update(np.ascontiguousarray(array).tobytes())
    return state.hexdigest()


def _rows(
    group: Group, pairs: list[Pair], variants: list[str], key: str, plan: PlanFile
) -> Iterator[StatisticsRow]:
    if not len(group.labels):
        return
    task, model = group.name.split("/", 1)
    split, examples = plan.tasks[task].report[0], len(group.labels)
    pairs = [pair for pair in pairs if len(group.common(pair))]
    scores = group.scores()
    means, differences = bootstrap(group, pairs)
    for v in np.flatnonzero(group.present.any(1)):
        seeds, estimate = int(group.present[v].sum()), float(np.nanmean(scores[v]))
        yield StatisticsRow(
            task, model, variants[v], "", group.metric, split, key, seeds, examples, estimate,
            *interval(means[:, v]),
        )  # fmt: skip
    for i, ((a, b), p) in enumerate(zip(pairs, swap_p(group, pairs), strict=True)):
        common = group.common((a, b))
        estimate = float((scores[a, common] - scores[b, common]).mean())
        yield StatisticsRow(
            task, model, variants[a], variants[b], group.metric, split, key, len(common), examples, estimate,
            *interval(differences[:, i]), p_models=float(p),
        )  # fmt: skip
