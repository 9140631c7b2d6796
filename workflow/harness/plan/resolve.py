"""From an experiment to its cells: names looked up, values settled, all mistakes told at once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from harness.core.numerics import NUMERICS
from harness.errors import HarnessError, MistakesError, unknown
from harness.methods.interface import Method
from harness.methods.registry import broken_methods, method_class, method_names, method_source
from harness.paths import CONFIG, RESULTS, shown
from harness.plan import catalogue
from harness.plan.experiment import Experiment
from harness.plan.grid import Cell
from harness.plan.keys import digest, source_digest
from harness.plan.model import Model
from harness.plan.protocol import Protocol, ProtocolFile, Rule
from harness.plan.searches import settled, studies_of, variant_mistakes
from harness.plan.strict import check
from harness.plan.study import Study
from harness.plan.task import Task


def resolve(experiment: Experiment, file: Path | str, results: Path = RESULTS) -> list[Cell]:
    """Return every cell of ``experiment``, in the order of its file; tuned values are read from ``results``.

    Raises:
        MistakesError: unknown names and wrong values, all of them, each with file and key.
    """
    where = shown(file) if isinstance(file, Path) else file
    return _Resolver(experiment, where, results / experiment.name / "tuned").cells()


class _Resolver:
    """Looks names up and settles values, collecting mistakes as it goes."""

    def __init__(self, experiment: Experiment, where: str, tuned: Path) -> None:
        self.experiment = experiment
        self.where = where
        self.tuned = tuned
        self.mistakes: list[str] = []
        self.sources: dict[str, str] = {}

    def cells(self) -> list[Cell]:
        experiment, folders = self.experiment, self.experiment.task_folders()
        base = self.named("protocol", catalogue.protocol, experiment.protocol)
        tasks = {t: self.named("tasks", lambda n: catalogue.task(n, folders), t) for t in experiment.tasks}
        models = {m: self.named("models", catalogue.model, m) for m in experiment.models}
        self.mistakes += variant_mistakes(experiment, self.where)
        for name in experiment.variants:
            self.named(f"variants.{name}", partial(build_method, experiment, where=self.where), name)
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
        found = self.settled(found)
        self.stop_on_mistakes()
        return found

    def settled(self, cells: list[Cell]) -> list[Cell]:
        """Return the cells with the values of tuned files, and those that wait for a search marked."""
        studies, wrong = studies_of(self.experiment, cells, self.source, self.where)
        self.mistakes += wrong
        self.stop_on_mistakes()
        look = partial(self.one, {cell.name: cell for cell in cells}, studies)
        return [self.named(f"variants.{cell.variant}", look, cell.name) for cell in cells]

    def one(self, cells: dict[str, Cell], studies: dict[str, Study], name: str) -> Cell:
        """Return a cell with its arguments settled, and the identity that they give it."""
        experiment, study = self.experiment, studies.get(name)
        cell, changed = settled(cells[name], experiment, study, self.tuned, self.source)
        if not changed:
            return cell
        return replace(cell, identity=self.identity(cell.task, cell.model, cell.protocol, cell.method))

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
        entry, change = catalogue.variant(experiment.base(variant), folders), experiment.change(variant)
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
        method = build_method(experiment, variant, self.where, rules)
        identity = self.identity(task, model[1], protocol, method)
        return Cell(task.name, task, model[0], model[1], variant, method, protocol, identity)

    def identity(self, task: Task, model: Model, protocol: Protocol, method: Method) -> str:
        """Return the hash of all that determines a cell's numbers, except the seed."""
        return digest(
            {
                "task": task.identity(),
                "model": model.identity(),
                "protocol": protocol.model_dump(),
                "method": method.name,
                "arguments": method.arguments.model_dump(),
                "source": self.source(method),
                "numerics": NUMERICS,
            }
        )

    def source(self, method: Method) -> str:
        """Return the hash of a method's own source."""
        if method.name not in self.sources:
            self.sources[method.name] = source_digest(*method_source(type(method)))
        return self.sources[method.name]


def build_method(experiment: Experiment, name: str, where: str, rules: Sequence[Rule] = ()) -> Method:
    """Return the method of a variant with its arguments settled and checked, before any search.

    Later ones win: the method's defaults, the protocol's rules, the variant, the experiment.
    """
    folders, change = experiment.method_folders(), experiment.change(name)
    variant = catalogue.variant(experiment.base(name), folders)
    kind = method_class(variant.method, folders)
    values: dict[str, Any] = {}
    for rule in rules:
        values |= rule.arguments
    assert isinstance(change.arguments, dict)
    values |= {**variant.arguments, **change.arguments}
    arguments, wrong = check(kind.Arguments, values, where, f"variants.{name}.arguments")
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
