"""``fetch``: download data and models once. All other commands work without a network."""

import argparse
from pathlib import Path

from harness.cli._common import Commands, add_command, add_data_root, add_out, add_tasks_dir, folders


def register(commands: Commands, prefix: str = "") -> None:
    """Declare the command; ``prefix`` comes before it in examples."""
    parser = add_command(
        commands,
        "fetch",
        run,
        "download data and models, verify them, lock their hashes",
        f"{prefix}fetch paper",
        f"{prefix}fetch --task qnli --model roberta-base",
    )
    parser.set_defaults(online=True)
    parser.add_argument("experiment", nargs="?", metavar="EXPERIMENT", help="a file, or a name in config/")
    parser.add_argument("--task", action="append", default=[], metavar="T", help="only this task; repeatable")
    parser.add_argument(
        "--model", action="append", default=[], metavar="M", help="only this model; repeatable"
    )
    parser.add_argument(
        "--hub", type=Path, metavar="DIR", help="folder in the Hub's layout, instead of huggingface.co"
    )
    add_data_root(parser)
    add_tasks_dir(parser)
    add_out(parser)


def run(args: argparse.Namespace) -> None:
    """Fetch the tasks and models of an experiment, or the named ones."""
    from harness.config import catalogue
    from harness.config.experiment import load_experiment
    from harness.data.fetch import fetch_model, fetch_task
    from harness.data.hub import HubSource
    from harness.data.sources import Folders
    from harness.util.errors import HarnessError
    from harness.util.paths import CONFIG

    tasks, models = args.task, [catalogue.model_name(name) for name in args.model]
    task_folders, data_root = folders(args.tasks_dir), args.data_root and Path(args.data_root).expanduser()
    if args.experiment:
        experiment = load_experiment(catalogue.experiment_file(args.experiment))
        task_folders += experiment.task_folders()
        data_root = data_root or experiment.data_folder()
        if not tasks and not models:
            tasks, models = list(experiment.tasks), list(experiment.models)
    elif not tasks and not models:
        raise HarnessError("fetch: expected an EXPERIMENT, or tasks by --task and models by --model")
    cache, hub = args.out / "cache", HubSource(args.hub)
    for name in tasks:
        task = catalogue.task(name, task_folders)
        fetch_task(task, task_folders, Folders(data_root, cache / "data"), hub)
    for name in models:
        fetch_model(name, catalogue.model(name), cache / "models", CONFIG, hub)
