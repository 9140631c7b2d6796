"""``statistics.parquet``: all that needs predictions, made from the comparisons, once a task and encoder."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from harness.plan.tables import reference_of, rows_of, tables_of
from harness.report.comparisons import comparisons_path
from harness.report.statistics.group import (
    BOOTSTRAPS,
    PERMUTATIONS,
    Group,
    Pair,
    bootstrap,
    interval,
    swap_p,
)
from harness.runs.atomic import whole_file

VERSION = 1
"""Raised when the same predictions give other statistics."""
DEFAULT = "vanilla"
TEXTS = ["task", "model", "variant", "reference", "metric", "split", "key"]
COLUMNS = [*TEXTS, "seeds", "examples", "estimate", "low", "high", "p_models"]


def statistics_path(folder: Path) -> Path:
    """Return where the statistics of an experiment's folder lie."""
    return folder / "statistics.parquet"


def write_statistics(plan: dict[str, Any], folder: Path) -> Path:
    """Write the statistics of ``comparisons.parquet`` in ``folder``; return the file.

    ``plan`` is the content of plan.json. A row tells of one variant (``reference`` empty: its mean score), or
    of a variant less the one that some table compares it with: estimate over paired seeds, 95 % interval over
    seeds and examples, and the p-value of swapped predictions. What has been computed from the same
    predictions before is taken over.
    """
    import pandas as pd

    path = statistics_path(folder)
    known = pd.read_parquet(path) if path.is_file() else pd.DataFrame(columns=COLUMNS)
    parts: list[dict[Any, Any]] = []
    for task, model in dict.fromkeys((cell["task"], cell["model"]) for cell in plan["cells"].values()):
        variants = [c["variant"] for c in plan["cells"].values() if (c["task"], c["model"]) == (task, model)]
        group = read_group(plan, folder, task, model, variants)
        pairs = pairs_of(plan, variants)
        key = _key(group, pairs)
        old = known[known["key"] == key]
        parts += old.to_dict("records") if len(old) else list(_rows(group, pairs, variants, key, plan))
    frame = pd.DataFrame(parts, columns=COLUMNS)
    frame = frame.astype({"seeds": "int64", "examples": "int64"})
    with whole_file(path) as temporary:
        frame.to_parquet(temporary, index=False, compression="zstd")
    return path


def pairs_of(plan: dict[str, Any], variants: list[str]) -> list[Pair]:
    """Return the positions of each variant and the one that a table, or everybody, compares it with."""
    others = {(row, DEFAULT) for row in variants}
    for spec in tables_of(plan).values():
        others |= {(row, str(reference_of(spec, row))) for row in rows_of(spec, plan)}
    place = {variant: i for i, variant in enumerate(variants)}
    return sorted((place[a], place[b]) for a, b in others if a != b and a in place and b in place)


def read_group(plan: dict[str, Any], folder: Path, task: str, model: str, variants: list[str]) -> Group:
    """Return the predictions of a task and encoder on its first report split."""
    import pyarrow.parquet as pq

    facts, seeds = plan["tasks"][task], plan["experiment"]["seeds"]
    where = [("task", "=", task), ("model", "=", model), ("split", "=", facts["report"][0])]
    names = ["variant", "seed", "row", "label", "prediction"]
    found = pq.read_table(comparisons_path(folder), columns=names, filters=where)
    found = found.unify_dictionaries().combine_chunks()
    rows, example = np.unique(found["row"].to_numpy(), return_inverse=True)
    labels = np.zeros(len(rows))
    labels[example] = found["label"].to_numpy()
    predictions = np.full((len(variants), len(seeds), len(rows)), np.nan)
    variant = found["variant"].combine_chunks()
    places = np.array([variants.index(name) for name in variant.dictionary.to_pylist()], dtype=int)
    seed = np.argsort(seeds)[np.searchsorted(np.sort(seeds), found["seed"].to_numpy())]
    predictions[places[variant.indices.to_numpy()], seed, example] = found["prediction"].to_numpy()
    return Group(f"{task}/{model}", facts["rank"], labels, predictions)


def _key(group: Group, pairs: list[Pair]) -> str:
    """Return a hash of everything that the statistics of a group depend on."""
    found = hashlib.sha256(
        repr((VERSION, group.name, group.metric, pairs, PERMUTATIONS, BOOTSTRAPS)).encode()
    )
    for array in (group.labels, group.predictions):
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def _rows(
    group: Group, pairs: list[Pair], variants: list[str], key: str, plan: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    if not len(group.labels):
        return
    known = [pair for pair in pairs if len(group.common(pair))]
    task, model = group.name.split("/", 1)
    split = plan["tasks"][task]["report"][0]
    common = {"task": task, "model": model, "metric": group.metric, "split": split, "key": key}
    common |= {"examples": len(group.labels)}
    scores = group.scores()
    means, differences = bootstrap(group, known)
    for v in np.flatnonzero(group.there.any(1)):
        low, high = interval(means[:, v])
        facts = {"variant": variants[v], "reference": "", "seeds": int(group.there[v].sum())}
        yield common | facts | {"estimate": float(np.nanmean(scores[v])), "low": low, "high": high}
    for i, ((a, b), p) in enumerate(zip(known, swap_p(group, known), strict=True)):
        low, high = interval(differences[:, i])
        seeds = group.common((a, b))
        facts = {"variant": variants[a], "reference": variants[b], "seeds": len(seeds), "p_models": float(p)}
        estimate = float((scores[a, seeds] - scores[b, seeds]).mean())
        yield common | facts | {"estimate": estimate, "low": low, "high": high}
