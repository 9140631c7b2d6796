"""``tables``: make tables and figures again from the frame; trains nothing, needs no network."""

import argparse

from harness.cli._common import Commands, add_command, add_out, experiment_file

EXAMPLE = "tables quick\n  python -m harness tables --reference quick"


def register(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands, "tables", run, "make tables and figures from whatever results exist", EXAMPLE
    )
    parser.add_argument("experiment", nargs="?", metavar="EXPERIMENT", help="a file, or a name in config/")
    parser.add_argument(
        "--reference", metavar="NAME", help="tracked results in results/reference/, instead of an experiment"
    )
    add_out(parser)


def run(chosen: argparse.Namespace) -> None:
    """Write tables and figures; print the main table, where the files lie, and the failure digest if any."""
    from harness.errors import HarnessError

    if (chosen.experiment is None) == (chosen.reference is None):
        raise HarnessError("tables: expected EXPERIMENT, or --reference NAME")
    if chosen.reference:
        _reference(chosen.reference)
    else:
        _experiment(chosen)


def _reference(name: str) -> None:
    from harness.paths import shown
    from harness.report.reference import reference_folder, render_reference

    folder = reference_folder(name)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    files = render_reference(folder, folder)
    print(files[0].read_text(encoding="utf-8"))
    changed = [path.name for path in files if before.get(path) != path.read_bytes()]
    print(f"{len(files)} files in {shown(folder)}, {len(changed)} changed {' '.join(changed)}".rstrip())


def _experiment(chosen: argparse.Namespace) -> None:
    from harness.plan.plan import make_plan
    from harness.report.digest import write_digest
    from harness.report.render import render

    plan = make_plan(experiment_file(chosen.experiment), chosen.out)
    digest = write_digest(plan)
    files = render(plan.as_json(), plan.folder, plan.folder, digest)
    print(files[0].read_text(encoding="utf-8"))
    for folder in dict.fromkeys(path.parent for path in files):
        print(f"{folder}: {' '.join(path.name for path in files if path.parent == folder)}")
    if digest is not None:
        print(f"\n{digest}")
