"""For notebooks: ``from harness import load_experiment, run, load_results``."""

from pathlib import Path

import pandas as pd

from harness.config.catalogue import experiment_file
from harness.plan.plan import Plan, make_plan, write_plan
from harness.results.frame import as_table, build_frame
from harness.runs.failures import write_failures
from harness.snakemake.launch import run_workflow
from harness.util.errors import HarnessError


def load_experiment(name: str | Path) -> Plan:
    """Return the plan of an experiment, a file or a name in ``config/``; its results are in ``./results``.

    Raises:
        HarnessError: the experiment does not exist, or has errors (all of them are reported).
    """
    return make_plan(experiment_file(str(name)))


def run(plan: Plan) -> pd.DataFrame:
    """Train the runs without a result, as ``snakemake`` does; return ``load_results(plan)``.

    Raises:
        HarnessError: a run failed; the others are trained, and the message lists the failures.
    """
    if not run_workflow(plan.file, quiet=True):
        raise HarnessError(write_failures(plan) or "Snakemake failed; its log is in .snakemake/log")
    return load_results(plan)


def load_results(plan: Plan) -> pd.DataFrame:
    """Return one row per planned run: names, status (or ``missing``), scores and cost."""
    write_plan(plan)
    return as_table(build_frame(plan))
