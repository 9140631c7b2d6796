"""From an experiment to its cells: names looked up, values settled, all mistakes told at once."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from harness.core.numerics import NUMERICS
from harness.errors import HarnessError, MistakesError, unknown
from harness.methods.interface import Method
from harness.methods.registry import Folders, broken_methods, method_class, method_names, method_source
from harness.paths import CONFIG, shown
from harness.plan import catalogue
from harness.plan.experiment import Experiment, VariantChange
from harness.plan.grid import Cell
from harness.plan.keys import digest, source_digest
from harness.plan.model import Model
from harness.plan.protocol import Protocol, ProtocolFile, Rule
from harness.plan.strict import check
from harness.plan.task import Task


def resolve(experiment: Experiment, file: Path | str) -> list[Cell]:
    """Return every cell of ``experiment``, in the order of its file.

    Raises:
        MistakesError: unknown names and wrong values, all of them, each with file and key.
    """
    return _Resolver(experiment, shown(file) if isinstance(file, Path) else file).cells()


class _Resolver:
    """Looks names up and settles values, collecting mistakes as it goes."""

    def __init__(self, experiment: Experiment, where: str) -> None:
        self.experiment = experiment
        self.where = where
        self.mistakes: list[str] = []
        self.sources: dict[str, str] = {}

    def cells(self) -> list[Cell]:
        experiment, folders = self.experiment, self.experiment.task_folders()
        base = self.named("protocol", catalogue.protocol, experiment.protocol)
        tasks = {t: self.named("tasks", lambda n: catalogue.task(n, folders), t) for t in experiment.tasks}
        models = {m: self.named("models", catalogue.model, m) for m in experiment.models}
        for name, change in experiment.variants.items():
            build = partial(
                build_method, change=change, where=self.where, folders=experiment.method_folders()
            )
            self.named(f"variants.{name}", build, name)
        if base is not None:
            self.mistakes += _settings_mistakes(experiment, base, self.where)
            self.mistakes += _rules_mistakes(experiment.protocol, base)
        self.stop_on_mistakes()
        found = [
            self.named("variants", partial(self.cell, base, task, model), variant)
            for task in tasks.values()
            for model in models.items()
            for variant in experiment.variants
        ]
        self.stop_on_mistakes()
        return found

    def named(self, key: str, look: Callable[[str], Any], name: str) -> Any:
        """Return what ``look`` finds, or None and take note of the mistake."""
        try:
            return look(name)
        except HarnessError as error:
            more = error.mistakes if isinstance(error, MistakesError) else [f"{self.where}: {key}: {error}"]
            self.mistakes.extend(m for m in more if m not in self.mistakes)
            return None

    def stop_on_mistakes(self) -> None:
        """Raise MistakesError if there are any."""
        if self.mistakes:
            raise MistakesError(self.mistakes)

    def cell(self, base: ProtocolFile, task: Task, model: tuple[str, Model], variant: str) -> Cell:
        """Return one cell; its rules may give it arguments and settings of its own."""
        experiment, folders = self.experiment, self.experiment.method_folders()
        entry, change = catalogue.variant(variant, folders), experiment.variants[variant]
        rules = base.rules_for(task.lineage, model[0], entry.method)
        values = base.base()
        for layer in (
            *(rule.settings for rule in rules),
            experiment.settings,
            experiment.models[model[0]],
            experiment.tasks[task.name],
            change.settings,
        ):
            values |= layer
        protocol, wrong = check(Protocol, values, self.where, f"{task.name}/{model[0]}/{variant}")
        if protocol is None:
            raise MistakesError(wrong)
        protocol = protocol.times(entry.epochs_times)
        method = build_method(variant, change, self.where, rules, folders)
        identity = self.identity(task, model[1], protocol, method)
        return Cell(task.name, task, model[0], model[1], variant, method, protocol, identity)

    def identity(self, task: Task, model: Model, protocol: Protocol, method: Method) -> str:
        """Return the hash of all that determines a cell's numbers, except the seed."""
        if method.name not in self.sources:
            self.sources[method.name] = source_digest(*method_source(type(method)))
        return digest(
            {
                "task": task.identity(),
                "model": model.identity(),
                "protocol": protocol.model_dump(),
                "method": method.name,
                "arguments": method.arguments.model_dump(),
                "source": self.sources[method.name],
                "numerics": NUMERICS,
            }
        )


def build_method(
    variant_name: str,
    change: VariantChange,
    where: str,
    rules: Sequence[Rule] = (),
    folders: Folders = (),
) -> Method:
    """Return the method of a variant with its arguments settled and checked.

    Later ones win: the method's defaults, the protocol's rules, the variant, the experiment.
    """
    variant = catalogue.variant(variant_name, folders)
    kind = method_class(variant.method, folders)
    values: dict[str, Any] = {}
    for rule in rules:
        values |= rule.arguments
    values |= {**variant.arguments, **change.arguments}
    arguments, wrong = check(kind.Arguments, values, where, f"variants.{variant_name}.arguments")
    if arguments is None:
        raise MistakesError(wrong)
    return kind(arguments)


def _layers(experiment: Experiment) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "settings", experiment.settings
    yield from ((f"models.{name}", values) for name, values in experiment.models.items())
    yield from ((f"tasks.{name}", values) for name, values in experiment.tasks.items())
    yield from ((f"variants.{name}.settings", c.settings) for name, c in experiment.variants.items())


def _settings_mistakes(experiment: Experiment, base: ProtocolFile, where: str) -> list[str]:
    """Check each layer of protocol values by itself, so that a mistake is told where it was made."""
    mistakes: list[str] = []
    for key, values in _layers(experiment):
        mistakes += check(Protocol, {**base.base(), **values}, where, key)[1]
    return mistakes


def _rules_mistakes(name: str, base: ProtocolFile) -> list[str]:
    """Check the rules of a protocol: names, values and arguments."""
    where = shown(CONFIG / "protocols" / f"{name}.yaml")
    known = {
        "tasks": list(catalogue.task_files()),
        "models": catalogue.names("models"),
        "methods": [*method_names(), *broken_methods()],
    }
    mistakes: list[str] = []
    for number, rule in enumerate(base.rules, start=1):
        key = f"rules.{number}"
        for kind, valid in known.items():
            wrong = [n for n in getattr(rule.where, kind) if n not in valid]
            mistakes += [f"{where}: {key}.where.{kind}: {unknown(kind[:-1], n, valid)}" for n in wrong]
        mistakes += check(Protocol, {**base.base(), **rule.settings}, where, f"{key}.settings")[1]
        if rule.arguments and rule.where.methods[0] in method_names():
            arguments = method_class(rule.where.methods[0]).Arguments
            mistakes += check(arguments, rule.arguments, where, f"{key}.arguments")[1]
    return mistakes
