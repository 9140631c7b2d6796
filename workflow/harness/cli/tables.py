"""``tables``: make the tables again from the frame; trains nothing, needs no network."""

import argparse

from harness.cli._common import Commands, add_command, add_experiment, experiment_file


def register(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands, "tables", run, "make the tables from whatever results exist", "tables quick"
    )
    add_experiment(parser)


def run(chosen: argparse.Namespace) -> None:
    """Write the tables and the failure digest; print the main table and where the files lie."""
    import pandas as pd

    from harness.errors import HarnessError
    from harness.plan.plan import make_plan
    from harness.report.digest import write_digest
    from harness.report.frame import frame_path
    from harness.report.tables import write_tables

    plan = make_plan(experiment_file(chosen.experiment), chosen.out)
    if not frame_path(plan).is_file():
        raise HarnessError(f"{frame_path(plan)}: there is no such file; make it with: snakemake tables")
    files = write_tables(plan.as_json(), pd.read_parquet(frame_path(plan)), plan.folder / "tables")
    print(files[0].read_text(encoding="utf-8"))
    print(f"tables: {plan.folder}/tables: {' '.join(path.name for path in files)}")
    digest = write_digest(plan)
    if digest is not None:
        print(f"\n{digest}")
