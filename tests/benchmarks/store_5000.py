"""How long 5,000 runs take from folders to tables.

    PYTHONPATH=tests python -m benchmarks.store_5000 [RUNS] [POINTS] [ROWS]

Prints seconds of: the first mirror of all runs, the export, the mirror again with nothing new, and all
tables from the frame; and for comparison the first runs through MLflow's client.
"""

import logging
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import planted
import toyplan
from planted import plant

from harness.plan.plan import Plan, write_plan
from harness.report.comparisons import write_comparisons
from harness.report.figures.figures import write_figures
from harness.report.frame import write_frame
from harness.report.mirror import entry_of, folders, mirror
from harness.report.render import read
from harness.report.server import ServerStore
from harness.report.statistics.results import write_statistics
from harness.report.store import open_store
from harness.report.tables import tables, write_tables

VARIANTS = [
    "vanilla", "vanilla-matched", "r-drop", "pgd", "freeat", "freelb", "freelb-shared-dropout", "smart",
    "smart-no-teacher", "r3f", "creat", "mat", "mat-code", "mat-strong", "mat-no-delta", "mat-no-lambda",
    "mat-no-noise", "mat-pure", "lookahead", "vanilla-inner-k",
]  # fmt: skip
TASKS = ["cola", "sst2", "rte", "stsb", "rotten_tomatoes"]
THROUGH_CLIENT = 50


def plan_of(folder: Path, runs: int) -> Plan:
    seeds = max(1, round(runs / len(VARIANTS) / len(TASKS)))
    return toyplan.plan(folder, tasks=TASKS, variants=VARIANTS, seeds=list(range(1, seeds + 1)))


def timed(name: str, work: Callable[[], Any]) -> Any:
    start = time.perf_counter()
    found = work()
    print(f"{name:44} {time.perf_counter() - start:7.2f} s", flush=True)
    return found


def main(runs: int = 5000, points: int = 15, rows: int = 1000) -> None:
    logging.disable(logging.INFO)
    planted.ROWS = rows
    with tempfile.TemporaryDirectory() as name:
        plan = plan_of(Path(name), runs)
        curve = [(step, 0.5 + step / 1000) for step in range(1, points + 1)]
        for run in plan.runs:
            plant(plan, run, 0.5 + run.seed / 1000, curve=curve)
        write_plan(plan)
        print(f"{len(plan.runs)} runs, {points} evaluations and {rows} reported rows each")
        store = timed("MLflow imported, schema made", lambda: open_store(plan.results, "client"))
        found = islice(folders(plan.folder), THROUGH_CLIENT)
        entries = [entry_of(folder, key, content, why) for key, content, folder, why in found]
        client = ServerStore(store.client, str(store.experiment))
        timed(f"{THROUGH_CLIENT} runs through MLflow's client", lambda: client.add(entries))
        timed("first mirror", lambda: mirror(plan.results, "toy"))
        timed("export", lambda: write_frame(plan))
        timed("mirror again, nothing new", lambda: mirror(plan.results, "toy"))
        timed("export again", lambda: write_frame(plan))
        path = timed("comparisons", lambda: write_comparisons(plan))
        print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")
        timed("comparisons again, nothing new", lambda: write_comparisons(plan))
        timed("statistics", lambda: write_statistics(plan.as_json(), plan.folder))
        timed("statistics again, nothing new", lambda: write_statistics(plan.as_json(), plan.folder))
        runs, found = timed("frame and statistics read", lambda: read(plan.folder))
        facts = plan.as_json()
        paths = timed("all tables", lambda: write_tables(tables(facts, runs, found), plan.folder / "tables"))
        paths += timed("all figures", lambda: write_figures(facts, runs, found, plan.folder / "figures"))
        print(f"{len(paths)} files")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
