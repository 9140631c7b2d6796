"""``tune``: run the studies of an experiment and write their tuned files."""

import argparse
from typing import TYPE_CHECKING

from harness.cli._common import Commands, add_command, add_experiment, add_threads, plan_of

if TYPE_CHECKING:
    from harness.plan.plan import Plan
    from harness.plan.study import Study


def register(commands: Commands, prefix: str = "") -> None:
    """Declare the command; ``prefix`` comes before it in examples."""
    parser = add_command(
        commands,
        "tune",
        run,
        "tune the arguments of variants with `arguments: tuned`",
        f"{prefix}tune quick-tuned",
        f"{prefix}tune quick-tuned --study rotten_tomatoes/minilm/mat",
    )
    add_experiment(parser)
    parser.add_argument(
        "--study",
        metavar="S",
        help="only this study, TASK/MODEL/VARIANT, without its tuned file (default: all, with tuned files)",
    )
    parser.add_argument(
        "--worker", type=int, default=1, metavar="K", help="number of this worker (default: 1)"
    )
    add_threads(parser)


def run(args: argparse.Namespace) -> None:
    """Run trials until the budgets are spent; without --study, write the tuned files too."""
    from harness.runs.stop import stoppable
    from harness.tuning.tuned_file import write_tuned_file
    from harness.tuning.worker import run_trials

    plan = plan_of(args)
    studies = _studies(plan, args.study)
    _check_worker(args.worker, studies[0].tuning.workers)
    with stoppable() as stop:
        for study in studies:
            count = run_trials(plan, study, args.worker, args.threads or plan.experiment.threads, stop)
            print(f"{study.name}: {count} trials by worker {args.worker}; study {study.hash[:8]}")
    if args.study is None:
        for study in studies:
            print(write_tuned_file(plan, study))


def _check_worker(worker: int, workers: int) -> None:
    from harness.util.errors import HarnessError

    if not 1 <= worker <= workers:
        raise HarnessError(f"--worker {worker}: expected 1 to {workers} (tuning.workers)")


def _studies(plan: "Plan", name: str | None) -> "list[Study]":
    """Return the requested studies."""
    from harness.util.errors import HarnessError, unknown

    studies = {study.name: study for study in plan.studies()}
    if not studies:
        raise HarnessError(f"experiment {plan.experiment.name} has no variant with arguments: tuned")
    if name is not None and name not in studies:
        raise HarnessError(unknown("study", name, studies))
    return list(studies.values()) if name is None else [studies[name]]
