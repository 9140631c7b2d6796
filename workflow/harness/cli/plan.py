"""``plan``: check an experiment and list its runs."""

import argparse

from harness.cli._common import Commands, add_command, add_experiment, experiment_file


def register(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(commands, "plan", run, "check an experiment and write its plan", "plan quick")
    add_experiment(parser)
    parser.add_argument(
        "--limit", type=float, metavar="HOURS", help="most hours of runs to do that are no error (24)"
    )


def run(chosen: argparse.Namespace) -> None:
    """Write plan.json; print runs done and to do, and their cost."""
    from harness.paths import shown
    from harness.plan.cost import forward_equivalents, training_passes
    from harness.plan.plan import make_plan, write_plan
    from harness.report.past import LIMIT_HOURS, hours, must_be_within, rates, superseded, why_to_do
    from harness.runs.folder import RunFolder

    plan = make_plan(experiment_file(chosen.experiment), chosen.out)
    path = write_plan(plan)
    waiting = [r for r in plan.runs if RunFolder(plan.run_folder(r)).result() is None]
    cost = sum(forward_equivalents(training_passes(r.cell)) for r in waiting)
    old = superseded(plan)
    for run_ in plan.runs:
        why = f"  ({why_to_do(plan, run_, old)})" if run_ in waiting else ""
        print(f"{'to do' if run_ in waiting else 'done '}  {run_.key[:8]}  {run_.name}{why}")
    for folder, reason in old.items():
        print(f"superseded  {shown(folder)}  ({reason})")
    print(
        f"{len(plan.runs)} runs, {len(plan.runs) - len(waiting)} done, {len(waiting)} to do "
        f"({cost:,.0f} forward passes' worth of training); plan: {shown(path)}"
    )
    needed, unknown = hours(waiting, rates(chosen.out))
    untold = f"; nothing is known of {unknown} runs" if unknown else ""
    print(f"{len(old)} superseded; by past runs about {needed:.1f} hours, one after the other{untold}")
    must_be_within(LIMIT_HOURS if chosen.limit is None else chosen.limit, needed, len(waiting))
