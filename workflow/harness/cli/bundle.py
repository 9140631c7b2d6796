"""``bundle`` and ``merge``: results in one archive, and their way into another clone."""

import argparse
from pathlib import Path

from harness.cli._common import Commands, add_command, add_experiment, add_out, experiment_file

MERGE = "merge quick.bundle.tar.gz\n  python -m harness merge quick.bundle.tar.gz --keep ours"


def register(commands: Commands) -> None:
    """Declare the two commands."""
    parser = add_command(
        commands, "bundle", bundle, "put an experiment's results in one archive", "bundle quick"
    )
    add_experiment(parser)
    parser.add_argument(
        "--to", type=Path, metavar="FILE", help="archive (default: <experiment>.bundle.tar.gz)"
    )
    parser = add_command(commands, "merge", merge, "take a bundle's runs in", MERGE)
    parser.add_argument("archive", type=Path, metavar="FILE", help="an archive that bundle made")
    parser.add_argument(
        "--keep",
        choices=["ours", "theirs"],
        help="which run stays where two of one key differ (default: take nothing)",
    )
    add_out(parser)


def bundle(chosen: argparse.Namespace) -> None:
    """Write the archive; print what it holds."""
    from harness.plan.plan import make_plan
    from harness.report.bundle import make_bundle

    plan = make_plan(experiment_file(chosen.experiment), chosen.out)
    target = chosen.to or Path(f"{plan.experiment.name}.bundle.tar.gz")
    manifest = make_bundle(plan, target)
    print(f"{target}: {manifest['runs']} of {manifest['planned']} runs, {len(manifest['files'])} files")


def merge(chosen: argparse.Namespace) -> None:
    """Take the runs in; print what became of them and how to make the tables."""
    from harness.report.bundle import merge_bundle

    found = merge_bundle(chosen.archive, chosen.out, chosen.keep)
    counts = ", ".join(f"{found[word]} {word}" for word in ("taken", "kept", "conflicts"))
    print(f"{found['experiment']}: {counts}")
    print(f"tables: snakemake tables --configfile {found['file']}")
