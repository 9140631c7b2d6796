"""``run``: train and evaluate one run."""

import argparse

from harness.cli._common import (
    Commands,
    add_command,
    add_data_root,
    add_methods_dir,
    add_out,
    add_set,
    add_tasks_dir,
    add_threads,
    locations,
    result_text,
)


def register(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "run",
        run,
        "train and evaluate one run",
        "run --task stsb --model minilm --method mat --seed 1",
        "run --task cola --model minilm --method freelb --seed 1 --data-root DIR --set epochs=1",
    )
    add_run(parser)
    add_set(parser, "a protocol value, a method argument, or a computing value (device=cpu)")
    add_threads(parser)
    add_data_root(parser)
    add_tasks_dir(parser)
    add_methods_dir(parser)
    add_out(parser)


def add_run(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name one run."""
    parser.add_argument("--task", required=True, metavar="T", help="a task (harness tasks)")
    parser.add_argument("--model", required=True, metavar="M", help="a model (harness models)")
    parser.add_argument("--method", required=True, metavar="V", help="a variant (harness methods)")
    parser.add_argument("--seed", required=True, type=int, metavar="S", help="an integer")
    parser.add_argument(
        "--experiment", metavar="EXPERIMENT", help="take protocol and arguments from this experiment"
    )


def run(args: argparse.Namespace) -> None:
    """Plan the run, train it unless it has a result, print its scores."""
    from harness.config.catalogue import experiment_file
    from harness.plan.single_run import RunRequest, check_key, plan_single_run
    from harness.runs.run_or_resume import run_or_resume
    from harness.runs.stop import stoppable

    request = RunRequest(
        task=args.task,
        model=args.model,
        variant=args.method,
        seed=args.seed,
        experiment=experiment_file(args.experiment) if args.experiment else None,
        pairs=getattr(args, "set", ()),
        locations=locations(args),
    )
    plan = plan_single_run(request)
    planned = plan.runs[0]
    if key := getattr(args, "key", None):
        check_key(planned, key)
    with stoppable() as stop:
        result = run_or_resume(plan, planned, args.threads or plan.experiment.threads, stop)
    print(f"{planned.name}: {result_text(result)}; {plan.run_folder(planned)}")
