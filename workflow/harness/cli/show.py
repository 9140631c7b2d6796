"""``show``: print the main table as it stands."""

import argparse

from harness.cli._common import Commands, add_command, add_experiment, experiment_file


def register(commands: Commands) -> None:
    """Declare the command."""
    add_experiment(
        add_command(commands, "show", run, "print the main table and where files lie", "show quick")
    )


def run(chosen: argparse.Namespace) -> None:
    """Print the stored main table; makes nothing."""
    from harness.errors import HarnessError
    from harness.paths import shown
    from harness.plan.experiment import load_experiment

    file = experiment_file(chosen.experiment)
    folder = chosen.out / load_experiment(file).name
    table = folder / "tables" / "main.md"
    if not table.is_file():
        command = f"snakemake tables --configfile {shown(file)}"
        raise HarnessError(f"{table}: there is no such file; make it with: {command}")
    print(table.read_text(encoding="utf-8"))
    print(f"tables:  {folder}/tables/*.md *.tex *.csv *.html")
    print(f"figures: {folder}/figures/*.png *.pdf")
    print(f"report:  {folder}/report.html")
    print(f"runs:    {folder}/runs/<task>/<model>/<variant>/seed<k>-<key>/result.json")
    print(f"frame:   {folder}/frame.parquet")
    print("MLflow:  make mlflow-ui")
    if (folder / "failures.md").is_file():
        print(f"\n{(folder / 'failures.md').read_text(encoding='utf-8')}")
