"""For notebooks: ``from harness import load_experiment, run, results``."""

from pathlib import Path

import pandas as pd

from harness.cli._common import experiment_file
from harness.errors import HarnessError
from harness.plan.plan import Plan, make_plan, write_plan
from harness.report.digest import write_digest
from harness.report.frame import build_frame
from harness.report.mirror import mirror
from harness.runs.workflow import run_workflow


def load_experiment(name: str | Path) -> Plan:
    """Return the plan of an experiment, a file or a name in ``config/``; its results are in ``./results``.

    Raises:
        HarnessError: there is no such experiment, or it holds mistakes (all of them are told).
    """
    return make_plan(experiment_file(str(name)))


def run(plan: Plan) -> pd.DataFrame:
    """Make the runs that are not there yet, as ``snakemake`` would; return ``results(plan)``.

    Raises:
        HarnessError: a run failed; the others are made, and the message is the digest of failures.
    """
    if not run_workflow(plan.file, quiet=True):
        raise HarnessError(write_digest(plan) or "Snakemake stopped; its words are in .snakemake/log")
    return results(plan)


def results(plan: Plan) -> pd.DataFrame:
    """Return one row for each planned run: what it is, its status, scores and cost.

    A run that is not there has the status ``missing``. Trains nothing.
    """
    write_plan(plan)
    mirror(plan.results, plan.experiment.name)
    return build_frame(plan)
