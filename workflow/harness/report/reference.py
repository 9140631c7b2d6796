"""Reference results: plan, frame, comparisons, tables and figures of a real experiment, tracked by git."""

import json
import shutil
from pathlib import Path

import pandas as pd

from harness.errors import HarnessError, unknown
from harness.paths import ROOT
from harness.plan.plan import Plan, write_plan
from harness.report.comparisons import write_comparisons
from harness.report.frame import write_frame
from harness.report.mirror import mirror
from harness.report.tables import write_tables

FOLDER = ROOT / "results" / "reference"
DONE = {"ok", "collapsed", "diverged"}


def reference_folder(name: str, folder: Path = FOLDER) -> Path:
    """Return the folder of a reference.

    Raises:
        HarnessError: there is no such reference.
    """
    names = [path.parent.name for path in folder.glob("*/plan.json")]
    if name not in names:
        raise HarnessError(unknown("reference", name, names))
    return folder / name


def render_reference(reference: Path, target: Path) -> list[Path]:
    """Write the tables of a reference into ``target``, from its tracked plan and frame alone."""
    plan = json.loads((reference / "plan.json").read_text(encoding="utf-8"))
    return write_tables(plan, pd.read_parquet(reference / "frame.parquet"), target)


def make_reference(plan: Plan, folder: Path = FOLDER) -> Path:
    """Make the finished experiment the reference of its name; return its folder.

    Raises:
        HarnessError: a planned run has no result.
    """
    write_plan(plan)
    mirror(plan.results, plan.experiment.name)
    frame = write_frame(plan)
    if open_runs := int((~frame["status"].isin(DONE)).sum()):
        raise HarnessError(
            f"{plan.folder}: {open_runs} of {len(frame)} runs have no result; no reference yet"
        )
    write_comparisons(plan)
    target = folder / plan.experiment.name
    fresh = target.with_name(f".{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for name in ("plan.json", "frame.parquet", "comparisons.parquet"):
        shutil.copyfile(plan.folder / name, fresh / name)
    if (plan.folder / "figures").is_dir():
        shutil.copytree(plan.folder / "figures", fresh / "figures")
    render_reference(fresh, fresh / "tables")
    if target.exists():
        shutil.rmtree(target)
    fresh.rename(target)
    return target
