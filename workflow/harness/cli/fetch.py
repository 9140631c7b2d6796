"""``fetch``: bring in data and models once; every other command works without a network."""

import argparse
from pathlib import Path

from harness.cli._common import (
    Commands,
    add_command,
    add_out,
    add_tasks_dir,
    experiment_file,
    task_folders,
)

EXAMPLE = "fetch paper\n  python -m harness fetch --task qnli --model roberta-base"


def register(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands, "fetch", run, "download data and models, check them, lock their hashes", EXAMPLE
    )
    parser.set_defaults(online=True)
    parser.add_argument("experiment", nargs="?", metavar="EXPERIMENT", help="a file, or a name in config/")
    parser.add_argument("--task", action="append", default=[], metavar="T", help="just this task; repeat it")
    parser.add_argument(
        "--model", action="append", default=[], metavar="M", help="just this model; repeat it"
    )
    parser.add_argument("--data-root", metavar="DIR", help="folder with data files, instead of downloads")
    parser.add_argument(
        "--hub", type=Path, metavar="DIR", help="folder in the Hub's layout, instead of huggingface.co"
    )
    add_tasks_dir(parser)
    add_out(parser)


def run(chosen: argparse.Namespace) -> None:
    """Fetch the tasks and models of an experiment, or those that are named."""
    from harness.errors import HarnessError
    from harness.inputs.fetch import fetch_model, fetch_task
    from harness.inputs.hub import HubSource
    from harness.inputs.sources import Folders
    from harness.paths import CONFIG
    from harness.plan import catalogue
    from harness.plan.experiment import load_experiment

    tasks, models = chosen.task, [catalogue.model_name(name) for name in chosen.model]
    own, given = task_folders(chosen), Path(chosen.data_root).expanduser() if chosen.data_root else None
    if chosen.experiment:
        experiment = load_experiment(experiment_file(chosen.experiment))
        own, given = own + experiment.task_folders(), given or experiment.data_folder()
        if not tasks and not models:
            tasks, models = list(experiment.tasks), list(experiment.models)
    elif not tasks and not models:
        raise HarnessError("fetch: name an EXPERIMENT, or tasks by --task and models by --model")
    cache, hub = chosen.out / "cache", HubSource(chosen.hub)
    for name in tasks:
        fetch_task(catalogue.task(name, own), own, Folders(given, cache / "data"), hub)
    for name in models:
        fetch_model(name, catalogue.model(name), cache / "models", CONFIG, hub)
