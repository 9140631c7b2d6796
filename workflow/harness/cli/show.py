"""``show``: print the main table as it is on disk."""

import argparse

from harness.cli._common import Commands, add_command, add_experiment


def register(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands, "show", run, "print the main table and the paths of all results", "show quick"
    )
    add_experiment(parser)


def run(args: argparse.Namespace) -> None:
    """Print the stored main table; write nothing."""
    from harness.config.catalogue import experiment_file
    from harness.config.experiment import load_experiment
    from harness.util.errors import HarnessError
    from harness.util.paths import display_path

    file = experiment_file(args.experiment)
    folder = args.out / load_experiment(file).name
    table = folder / "tables" / "main.md"
    if not table.is_file():
        command = f"snakemake tables --configfile {display_path(file)}"
        raise HarnessError(f"{table}: no such file; make it with: {command}")
    print(table.read_text(encoding="utf-8"))
    print(f"tables:  {folder}/tables/*.md *.tex *.csv *.html")
    print(f"figures: {folder}/figures/*.png *.pdf")
    print(f"report:  {folder}/report.html")
    print(f"runs:    {folder}/runs/<task>/<model>/<variant>/seed<k>-<key>/result.json")
    print(f"frame:   {folder}/frame.parquet")
    print("MLflow:  make mlflow-ui")
    if (folder / "failures.md").is_file():
        print(f"\n{(folder / 'failures.md').read_text(encoding='utf-8')}")
