"""``bundle`` and ``merge``: results in one archive, and merging them into another clone."""

import argparse
from pathlib import Path

from harness.cli._common import Commands, add_command, add_experiment, add_out, plan_of


def register(commands: Commands) -> None:
    """Declare both commands."""
    parser = add_command(
        commands, "bundle", bundle, "write an experiment's results to one archive", "bundle quick"
    )
    add_experiment(parser)
    parser.add_argument(
        "--to", type=Path, metavar="FILE", help="archive (default: <experiment>.bundle.tar.gz)"
    )
    parser = add_command(
        commands,
        "merge",
        merge,
        "add the runs of a bundle",
        "merge quick.bundle.tar.gz",
        "merge quick.bundle.tar.gz --keep ours",
    )
    parser.add_argument("archive", type=Path, metavar="FILE", help="an archive written by bundle")
    parser.add_argument(
        "--keep",
        choices=["ours", "theirs"],
        help="which run to keep if results of one key differ (default: add nothing)",
    )
    add_out(parser)


def bundle(args: argparse.Namespace) -> None:
    """Write the archive; print its content."""
    from harness.report.bundle import make_bundle

    plan = plan_of(args)
    target = args.to or Path(f"{plan.experiment.name}.bundle.tar.gz")
    manifest = make_bundle(plan, target)
    print(f"{target}: {manifest.runs} of {manifest.planned} runs, {len(manifest.files)} files")


def merge(args: argparse.Namespace) -> None:
    """Add the runs; print their numbers and how to make the tables."""
    from harness.report.bundle import merge_bundle

    merged = merge_bundle(args.archive, args.out, args.keep)
    print(f"{merged.experiment}: {merged.added} added, {merged.kept} kept, {merged.conflicts} conflicts")
    print(f"tables: snakemake tables --configfile {merged.file}")
