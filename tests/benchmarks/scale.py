"""How 10,000 runs do, training left out: PYTHONPATH=tests python -m benchmarks.scale [RUNS].

Prints seconds of the plan, of dry runs before and after, of opening the workflow in a job, of mirror,
export and tables, and what the folders take. The runs' folders are planted.
"""

import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from planted import plant

from harness.paths import ROOT
from harness.plan.plan import make_plan, write_plan
from harness.plan.workflow import Workflow
from harness.report.comparisons import write_comparisons
from harness.report.frame import frame_path, write_frame
from harness.report.mirror import mirror
from harness.report.render import render
from harness.report.statistics.results import write_statistics

TASKS = ["cola", "sst2", "rte", "stsb", "rotten_tomatoes"]
VARIANTS = [
    "vanilla", "vanilla-matched", "r-drop", "pgd", "freeat", "freelb", "freelb-shared-dropout", "smart",
    "smart-no-teacher", "r3f", "creat", "mat", "mat-code", "mat-strong", "mat-no-delta", "mat-no-lambda",
    "mat-no-noise", "mat-pure", "lookahead", "vanilla-inner-k",
]  # fmt: skip
POINTS = 15


def timed(name: str, work: Callable[[], Any]) -> Any:
    start, used = time.perf_counter(), cpu_seconds()
    found = work()
    spent = cpu_seconds() - used
    print(f"{name:44} {time.perf_counter() - start:8.1f} s {spent:8.1f} s of CPU", flush=True)
    return found


def cpu_seconds() -> float:
    """Return what this process and its children have used: a busy machine does not change it."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def clone(folder: Path, runs: int) -> None:
    """Link the workflow into ``folder``, and write the experiment."""
    for name in ("Snakefile", "workflow", "config", "profiles", "slurm"):
        (folder / name).symlink_to(ROOT / name)
    seeds = max(1, round(runs / len(VARIANTS) / len(TASKS)))
    content = {
        "name": "grid", "title": "A grid", "tasks": TASKS, "models": ["tiny"], "variants": VARIANTS,
        "seeds": list(range(1, seeds + 1)),
    }  # fmt: skip
    (folder / "grid.yaml").write_text(yaml.safe_dump(content))


def call(*command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode == 0, done.stdout + done.stderr


def sizes(folder: Path) -> str:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return f"{sum(p.stat().st_blocks for p in files) * 512 / 2**20:.0f} MB in {len(files)} files"


def main(runs: int = 10_000) -> None:
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        clone(Path(name), runs)
        plan = timed("plan made", lambda: make_plan(Path("grid.yaml")))
        print(f"{len(plan.runs)} runs, {POINTS} evaluations each")
        timed("plan.json written", lambda: write_plan(plan))
        timed("harness plan", lambda: call("harness", "plan", "grid.yaml"))
        timed("the workflow of a job (twice a job)", lambda: Workflow(make_plan(Path("grid.yaml"))))
        dry = ["snakemake", "-n", "-q", "--configfile", "grid.yaml"]
        timed("snakemake -n, everything to do", lambda: call(*dry))
        curve = [(step, 0.5 + step / 1000) for step in range(1, POINTS + 1)]
        for run in plan.runs:
            plant(plan, run, 0.5 + run.seed / 1000, curve=curve)
        timed("harness plan, everything done", lambda: call("harness", "plan", "grid.yaml"))
        timed("snakemake -n, every run done", lambda: call(*dry))
        timed("first mirror", lambda: mirror(plan.results, "grid"))
        timed("mirror again, nothing new", lambda: mirror(plan.results, "grid"))
        timed("export", lambda: write_frame(plan))
        timed("comparisons", lambda: write_comparisons(plan))
        timed("statistics", lambda: write_statistics(plan.as_json(), plan.folder))
        timed("tables, figures, report", lambda: render(plan.as_json(), plan.folder, plan.folder))
        print(f"{'run folders (8 rows of predictions each)':44} {sizes(plan.folder / 'runs')}")
        for path in (plan.folder / "plan.json", plan.results / "mlflow.db", frame_path(plan)):
            print(f"{path!s:44} {path.stat().st_size / 2**20:8.1f} MB")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
