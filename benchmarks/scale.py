"""Time and disk space of all steps but training, for 10,000 runs.

    PYTHONPATH=tests python -m benchmarks.scale [RUNS]

Prints seconds for the plan, dry runs, the workflow of a job, the mirror, the export, and tables; and the size
of the files. The run folders are those of ``support.fake_runs``.
"""

import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import yaml
from support.fake_runs import plant

from harness.plan.plan import Plan, make_plan, write_plan
from harness.report.render import render
from harness.results.comparisons import write_comparisons
from harness.results.environment import write_environment
from harness.results.frame import frame_path, write_frame
from harness.results.statistics_file import write_statistics
from harness.snakemake.workflow import Workflow
from harness.tracking.mirror import mirror
from harness.util.paths import ROOT

T = TypeVar("T")
TASKS = ["cola", "sst2", "rte", "stsb", "rotten_tomatoes"]
VARIANTS = [
    "vanilla", "vanilla-matched", "r-drop", "pgd", "freeat", "freelb", "freelb-shared-dropout", "smart",
    "smart-no-teacher", "r3f", "creat", "mat", "mat-code", "mat-strong", "mat-no-delta", "mat-no-lambda",
    "mat-no-noise", "mat-pure", "lookahead", "vanilla-inner-k",
]  # fmt: skip
EVALUATIONS = 15
CURVE = [(step, 0.5 + step / 1000) for step in range(1, EVALUATIONS + 1)]
DRY_RUN = ["snakemake", "-n", "-q", "--configfile", "grid.yaml"]
LINKS = ("Snakefile", "workflow", "config", "profiles", "slurm")
"""Parts of the repository that the workflow needs."""


def timed(name: str, work: Callable[[], T]) -> T:
    """Print elapsed time and CPU time of ``work``; return its result."""
    start, cpu_start = time.perf_counter(), cpu_seconds()
    result = work()
    cpu = cpu_seconds() - cpu_start
    print(f"{name:44} {time.perf_counter() - start:8.1f} s {cpu:8.1f} s of CPU", flush=True)
    return result


def cpu_seconds() -> float:
    """Return the CPU time of this process and its children, which does not depend on other processes."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def make_clone(folder: Path, runs: int) -> None:
    """Link the workflow into ``folder``, and write the experiment."""
    for name in LINKS:
        (folder / name).symlink_to(ROOT / name)
    seeds = max(1, round(runs / len(VARIANTS) / len(TASKS)))
    content = {
        "name": "grid", "title": "A grid", "tasks": TASKS, "models": ["tiny"], "variants": VARIANTS,
        "seeds": list(range(1, seeds + 1)),
    }  # fmt: skip
    (folder / "grid.yaml").write_text(yaml.safe_dump(content))


def call(*command: str) -> None:
    """Run a Python module; its output is printed only if it fails."""
    process = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, check=False, env=os.environ
    )
    assert process.returncode == 0, process.stdout + process.stderr


def size(folder: Path) -> str:
    """Return the disk space of a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return f"{sum(p.stat().st_blocks for p in files) * 512 / 2**20:.0f} MB in {len(files)} files"


def measure_planning() -> Plan:
    """Time everything before the first run; return the plan."""
    plan = timed("planning", lambda: make_plan(Path("grid.yaml")))
    print(f"{len(plan.runs)} runs, {EVALUATIONS} evaluations each")
    timed("plan.json written", lambda: write_plan(plan))
    timed("harness plan", lambda: call("harness", "plan", "grid.yaml"))
    timed("workflow of a job (each job opens it twice)", lambda: Workflow(make_plan(Path("grid.yaml"))))
    timed("snakemake -n, everything to do", lambda: call(*DRY_RUN))
    return plan


def measure_results(plan: Plan) -> None:
    """Time everything after the last run."""
    timed("harness plan, everything done", lambda: call("harness", "plan", "grid.yaml"))
    timed("snakemake -n, every run done", lambda: call(*DRY_RUN))
    timed("first mirror", lambda: mirror(plan.results, "grid"))
    timed("mirror again, nothing new", lambda: mirror(plan.results, "grid"))
    timed("export", lambda: write_frame(plan))
    timed("comparisons", lambda: write_comparisons(plan))
    timed("statistics", lambda: write_statistics(plan.as_file(), plan.folder))
    timed("environment", lambda: write_environment(plan))
    timed("tables, figures, report", lambda: render(plan.as_file(), plan.folder, plan.folder))


def print_sizes(plan: Plan) -> None:
    """Print the disk space of the files."""
    print(f"{'run folders (8 rows of predictions each)':44} {size(plan.folder / 'runs')}")
    for path in (plan.folder / "plan.json", plan.results / "mlflow.db", frame_path(plan)):
        if path.is_file():
            print(f"{path!s:44} {path.stat().st_size / 2**20:8.1f} MB")


def main(runs: int = 10_000) -> None:
    """Measure in a temporary folder."""
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        make_clone(Path(name), runs)
        plan = measure_planning()
        for run in plan.runs:
            plant(plan, run, 0.5 + run.seed / 1000, curve=CURVE)
        measure_results(plan)
        print_sizes(plan)
        os.chdir(ROOT)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
