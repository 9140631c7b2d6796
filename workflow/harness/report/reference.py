"""Reference results: plan, frame, comparisons, tables and figures of a real experiment, tracked by git."""

import json
import shutil
from pathlib import Path

from harness.errors import HarnessError, unknown
from harness.paths import ROOT
from harness.plan.plan import Plan
from harness.report.export import EXPORTED, export
from harness.report.render import render

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
    """Write tables and figures of a reference below ``target``, from its tracked files alone."""
    return render(json.loads((reference / "plan.json").read_text(encoding="utf-8")), reference, target)


def make_reference(plan: Plan, folder: Path = FOLDER) -> Path:
    """Make the finished experiment the reference of its name; return its folder.

    Raises:
        HarnessError: a planned run has no result.
    """
    _, frame = export(plan)
    if open_runs := int((~frame["status"].isin(DONE)).sum()):
        raise HarnessError(
            f"{plan.folder}: {open_runs} of {len(frame)} runs have no result; no reference yet"
        )
    target = folder / plan.experiment.name
    fresh = target.with_name(f".{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for name in ("plan.json", *EXPORTED):
        shutil.copyfile(plan.folder / name, fresh / name)
    if (plan.folder / "tuned").is_dir():
        shutil.copytree(plan.folder / "tuned", fresh / "tuned")
    render_reference(fresh, fresh)
    if target.exists():
        shutil.rmtree(target)
    fresh.rename(target)
    return target
