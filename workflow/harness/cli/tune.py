"""``tune`` and ``tuned``: search for arguments, and write down what was found."""

import argparse
from typing import TYPE_CHECKING

from harness.cli._common import Commands, add_command, add_experiment, experiment_file

if TYPE_CHECKING:
    from harness.plan.plan import Plan
    from harness.plan.study import Study

EXAMPLE = "tune quick-tuned\n  python -m harness tune quick-tuned --study rotten_tomatoes/minilm/mat"


def register(commands: Commands) -> None:
    """Declare the two commands."""
    parser = add_command(
        commands, "tune", tune, "search the arguments of variants that ask for tuned ones", EXAMPLE
    )
    add_experiment(parser)
    parser.add_argument(
        "--study", metavar="S", help="just this search, TASK/MODEL/VARIANT (default: all, then tuned)"
    )
    parser.add_argument(
        "--worker", type=int, default=1, metavar="K", help="number of this worker (default: 1)"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: the experiment's)")
    parser = add_command(
        commands, "tuned", tuned, "write the tuned files of finished searches, draw all", "tuned quick-tuned"
    )
    add_experiment(parser)


def tune(chosen: argparse.Namespace) -> None:
    """Run trials until the budgets are spent; without --study write the tuned files, too."""
    plan = _plan(chosen)
    from harness.errors import HarnessError
    from harness.runs.attempt import end_of_time
    from harness.runs.stop import InterruptedRunError, StopRequest
    from harness.tune.worker import search

    studies = _asked(plan, chosen.study)
    if not 1 <= chosen.worker <= studies[0].tuning.workers:
        raise HarnessError(
            f"--worker {chosen.worker}: the experiment has {studies[0].tuning.workers} (tuning.workers)"
        )
    stop = StopRequest()
    with stop.listening():
        for study in studies:
            try:
                count = search(plan, study, chosen.worker, chosen.threads or plan.experiment.threads, stop)
            except InterruptedRunError as error:
                raise end_of_time(error, stop) from None
            print(f"{study.name}: {count} trials by worker {chosen.worker}; study {study.hash[:8]}")
    if chosen.study is None:
        _write(plan, studies)


def tuned(chosen: argparse.Namespace) -> None:
    """Write the tuned file of every search that is done."""
    plan = _plan(chosen)
    _write(plan, plan.studies(waiting=True))


def _write(plan: "Plan", studies: "list[Study]") -> None:
    from harness.report.figures.tuning import write_search_figures
    from harness.tune.finish import finish

    for study in studies:
        print(finish(plan, study))
    files = write_search_figures(plan.folder, plan.folder / "figures")
    print(f"{plan.folder / 'figures'}: {len(files)} files of searches")


def _plan(chosen: argparse.Namespace) -> "Plan":
    from harness.plan.plan import make_plan

    return make_plan(experiment_file(chosen.experiment), chosen.out)


def _asked(plan: "Plan", name: str | None) -> "list[Study]":
    """Return the searches that are asked for."""
    from harness.errors import HarnessError, unknown

    studies = {study.name: study for study in plan.studies()}
    if not studies:
        raise HarnessError(f"experiment {plan.experiment.name} has no variant with arguments: tuned")
    if name is not None and name not in studies:
        raise HarnessError(unknown("search", name, studies))
    return list(studies.values()) if name is None else [studies[name]]
