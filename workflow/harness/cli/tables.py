"""``tables``: write tables and figures from the exported results. It trains nothing and needs no network."""

import argparse

from harness.cli._common import Commands, add_command, add_out, plan_of


def register(commands: Commands, prefix: str = "") -> None:
    """Declare the command; ``prefix`` comes before it in examples."""
    parser = add_command(
        commands,
        "tables",
        run,
        "write tables and figures from whatever results exist",
        f"{prefix}tables quick",
        f"{prefix}tables --reference quick",
    )
    parser.add_argument("experiment", nargs="?", metavar="EXPERIMENT", help="a file, or a name in config/")
    parser.add_argument(
        "--reference", metavar="NAME", help="tracked results in results/reference/, instead of an experiment"
    )
    add_out(parser)
    parser.set_defaults(export=not prefix)  # in the workflow, another step has just done it


def run(args: argparse.Namespace) -> None:
    """Write tables and figures; print the main table, the paths, and the failed runs, if any."""
    from harness.util.errors import HarnessError

    if (args.experiment is None) == (args.reference is None):
        raise HarnessError("tables: expected EXPERIMENT, or --reference NAME")
    if args.reference:
        _reference(args.reference)
    else:
        _experiment(args)


def _reference(name: str) -> None:
    from harness.report.reference import reference_folder, render_reference
    from harness.util.paths import display_path

    folder = reference_folder(name)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    paths = render_reference(folder, folder)
    print(paths[0].read_text(encoding="utf-8"))
    changed = [path.name for path in paths if before.get(path) != path.read_bytes()]
    print(
        f"{len(paths)} files in {display_path(folder)}, {len(changed)} changed {' '.join(changed)}".rstrip()
    )


def _experiment(args: argparse.Namespace) -> None:
    from harness.report.render import render
    from harness.results.export import export
    from harness.runs.failures import write_failures

    plan = plan_of(args)
    if args.export:
        export(plan)
    failures = write_failures(plan)
    paths = render(plan.as_file(), plan.folder, plan.folder, failures)
    print(paths[0].read_text(encoding="utf-8"))
    for folder in dict.fromkeys(path.parent for path in paths):
        print(f"{folder}: {' '.join(path.name for path in paths if path.parent == folder)}")
    if failures is not None:
        print(f"\n{failures}")
