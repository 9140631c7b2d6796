"""Reference results: plan, frame, comparisons, tables and figures of a real experiment, tracked by git."""

import shutil
from pathlib import Path

from harness.config.plan_file import read_plan_file
from harness.plan.plan import Plan
from harness.report.render import render
from harness.results.export import EXPORTED, export
from harness.util.errors import HarnessError, unknown
from harness.util.paths import ROOT, display_path

FOLDER = ROOT / "results" / "reference"
DONE = ("ok", "collapsed", "diverged")


def reference_folder(name: str, folder: Path = FOLDER) -> Path:
    """Return the folder of a reference.

    Raises:
        HarnessError: the name is unknown.
    """
    names = [path.parent.name for path in folder.glob("*/plan.json")]
    if name not in names:
        raise HarnessError(unknown("reference", name, names))
    return folder / name


def render_reference(reference: Path, target: Path) -> list[Path]:
    """Write tables and figures of a reference below ``target``, only from its tracked files."""
    return render(read_plan_file(reference / "plan.json"), reference, target)


def make_reference(plan: Plan, folder: Path = FOLDER) -> Path:
    """Make the finished experiment the reference of its name; return its folder.

    Raises:
        HarnessError: a planned run has no result.
    """
    rows = export(plan)
    if missing := sum(row.status not in DONE for row in rows):
        raise HarnessError(f"{display_path(plan.folder)}: {missing} of {len(rows)} runs have no result yet")
    target = folder / plan.experiment.name
    new = target.with_name(f".{target.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    for name in ("plan.json", *EXPORTED):
        shutil.copyfile(plan.folder / name, new / name)
    if (plan.folder / "tuned").is_dir():
        shutil.copytree(plan.folder / "tuned", new / "tuned")
    render_reference(new, new)
    if target.exists():
        shutil.rmtree(target)
    new.rename(target)
    return target
