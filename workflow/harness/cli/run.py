"""``run``: one run, by hand or for the rule that trains."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli._common import (
    Commands,
    add_command,
    add_methods_dir,
    add_out,
    add_tasks_dir,
    experiment_file,
)

if TYPE_CHECKING:
    from harness.plan.experiment import Experiment, VariantChange
    from harness.plan.plan import Plan
    from harness.runs.record import Result

EXAMPLE = """run --task stsb --model minilm --method mat --seed 1
  python -m harness run --task cola --model minilm --method freelb --seed 1 --data-root DIR --set epochs=1"""


def register(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(commands, "run", run, "train and evaluate one run", EXAMPLE)
    for name, meaning in {
        "task": "a task (python -m harness tasks)",
        "model": "a model (python -m harness models)",
        "method": "a variant (python -m harness methods)",
    }.items():
        letter = "V" if name == "method" else name[0].upper()
        parser.add_argument(f"--{name}", required=True, metavar=letter, help=meaning)
    parser.add_argument("--seed", required=True, type=int, metavar="S", help="a whole number")
    parser.add_argument(
        "--experiment", metavar="EXPERIMENT", help="take protocol and arguments from this experiment"
    )
    parser.add_argument("--data-root", metavar="DIR", help="folder with data files, instead of data packages")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a protocol value, a method argument, or how it is computed (device=cpu); repeat it",
    )
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: the experiment's)")
    parser.add_argument("--key", metavar="KEY", help="refuse to run unless the run has this key")
    add_tasks_dir(parser)
    add_methods_dir(parser)
    add_out(parser)


def run(chosen: argparse.Namespace) -> None:
    """Settle the run, make it unless it is there, print its scores."""
    plan = _plan(chosen)
    wanted = plan.runs[0]
    from harness.errors import HarnessError
    from harness.runs.attempt import end_of_time, finish
    from harness.runs.stop import InterruptedRunError, StopRequest

    if wanted.cell.waits and wanted.cell.study is not None:
        raise HarnessError(
            f"{wanted.name}: its arguments come from a search that is not done yet; type first: "
            f"python -m harness tune {plan.file}"
        )
    if chosen.key and not wanted.key.startswith(chosen.key):
        raise HarnessError(
            f"{wanted.name}: key {wanted.key[:8]}, but {chosen.key} was planned: "
            "configuration or method changed since; plan again (start snakemake again)"
        )
    stop = StopRequest()
    with stop.listening():
        try:
            result = finish(plan, wanted, chosen.threads or plan.experiment.threads, stop)
        except InterruptedRunError as error:
            raise end_of_time(error, stop) from None
    print(f"{wanted.name}: {summary(result)}; {plan.run_folder(wanted)}")


def summary(result: "Result") -> str:
    """Return status and scores of a run in one line."""
    scores = [f"{split} {m} {v:.4f}" for split, found in result.metrics.items() for m, v in found.items()]
    why = f" ({result.flags['reason']})" if result.flags.get("reason") else ""
    training = f"{result.cost.train_seconds:.0f} s of training"
    return f"{result.status}{why}; {', '.join(scores) or 'no scores'}; {training}"


def _plan(chosen: argparse.Namespace) -> "Plan":
    """Return a plan that holds just the wanted run."""
    from harness.plan.catalogue import model_name
    from harness.plan.experiment import Experiment, VariantChange, load_experiment
    from harness.plan.plan import plan_of

    task, model, variant = chosen.task, model_name(chosen.model), chosen.method
    chosen.model = model
    if chosen.experiment:
        file = experiment_file(chosen.experiment)
        whole = load_experiment(file)
        _must_hold(whole, chosen)
    else:
        file = Path("command line")
        whole = Experiment(
            name="adhoc",
            title="Runs by hand",
            tasks={task: {}},
            models={model: {}},
            variants={variant: VariantChange()},
            seeds=[chosen.seed],
        )
    methods_dirs = [*chosen.methods_dir, *whole.methods_dirs]
    whole, pairs = _computing(whole.model_copy(update={"methods_dirs": methods_dirs}), chosen.set)
    settled = whole.model_copy(
        update={
            "variants": {**whole.variants, variant: _with_set(whole, variant, pairs)},
            "seeds": [chosen.seed],
            "data_root": chosen.data_root or whole.data_root,
            "tasks_dirs": [*chosen.tasks_dir, *whole.tasks_dirs],
        }
    )
    if isinstance(whole.variants[variant].arguments, dict) and whole.variants[variant].of is None:
        settled = _alone(settled, task, model, variant)
    plan = plan_of(settled, file, chosen.out)
    wanted = [r for r in plan.runs if r.cell.name == f"{task}/{model}/{variant}"]
    return replace(plan, cells=[wanted[0].cell], runs=wanted)


def _alone(whole: "Experiment", task: str, model: str, variant: str) -> "Experiment":
    """Return the experiment with one task, model and variant, so that nothing else need be settled."""
    parts = {
        "tasks": {task: whole.tasks[task]},
        "models": {model: whole.models[model]},
        "variants": {variant: whole.variants[variant]},
        "tuning": None,
    }
    return whole.model_copy(update=parts)


def _computing(whole: "Experiment", pairs: list[str]) -> tuple["Experiment", list[str]]:
    """Return the experiment with the pairs of --set that say how runs are computed, and the other pairs."""
    from harness.errors import MistakesError
    from harness.plan.experiment import COMPUTING, Experiment
    from harness.plan.strict import check
    from harness.plan.yamlfile import read_value

    ours = {pair: pair.partition("=") for pair in pairs if pair.partition("=")[0] in COMPUTING}
    values = {key: read_value(value) for key, _, value in ours.values()}
    settled, mistakes = check(Experiment, {**whole.model_dump(), **values}, "--set")
    if settled is None:
        raise MistakesError(mistakes)
    return settled, [pair for pair in pairs if pair not in ours]


def _must_hold(experiment: "Experiment", chosen: argparse.Namespace) -> None:
    from harness.errors import MistakesError, unknown

    asked = {"tasks": chosen.task, "models": chosen.model, "variants": chosen.method, "seeds": chosen.seed}
    mistakes = []
    for key, name in asked.items():
        known = getattr(experiment, key)
        if name not in known:
            mistakes.append(f"--experiment {chosen.experiment}: {unknown(key[:-1], name, map(str, known))}")
    if mistakes:
        raise MistakesError(mistakes)


def _with_set(whole: "Experiment", variant: str, pairs: list[str]) -> "VariantChange":
    """Return the experiment's change of a variant with the values of --set, each where its key belongs."""
    from harness.errors import MistakesError, unknown
    from harness.methods.registry import method_class
    from harness.plan import catalogue
    from harness.plan.experiment import COMPUTING
    from harness.plan.protocol import Protocol
    from harness.plan.yamlfile import read_value

    change, folders = whole.variants[variant], whole.method_folders()
    settings = dict(change.settings)
    arguments = dict(change.arguments) if isinstance(change.arguments, dict) else {}
    method = catalogue.variant(whole.base(variant), folders).method
    known = method_class(method, folders).Arguments.model_fields if pairs else {}
    mistakes = []
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            mistakes.append(f"--set {pair}: expected KEY=VALUE")
        elif key in known and isinstance(change.arguments, str):
            mistakes.append(f"--set {pair}: {variant} has arguments: {change.arguments}; set none beside it")
        elif key in known:
            arguments[key] = read_value(value)
        elif key in Protocol.model_fields:
            settings[key] = read_value(value)
        else:
            mistakes.append(
                f"--set {pair}: {unknown('key', key, [*Protocol.model_fields, *known, *COMPUTING])}"
            )
    if mistakes:
        raise MistakesError(mistakes)
    kept = change.arguments if isinstance(change.arguments, str) else arguments
    return change.model_copy(update={"settings": settings, "arguments": kept})
