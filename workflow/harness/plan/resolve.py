"""Resolve an experiment to its cells: look up names, merge values, and report all errors at once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from harness.config import catalogue
from harness.config.architectures import unsupported
from harness.config.base import check
from harness.config.experiment import Experiment
from harness.config.model import Model
from harness.config.protocol import Protocol, ProtocolFile, Rule, merged
from harness.config.task import Task
from harness.data.pretrained import longest_input, model_folder, model_type
from harness.methods.interface import Method
from harness.methods.registry import broken_methods, method_class, method_names, method_source
from harness.plan.grid import Cell
from harness.plan.keys import identity, source_digest
from harness.plan.studies import studies_of, variant_errors, with_tuned_arguments
from harness.plan.study import Study
from harness.util.errors import ConfigErrors, HarnessError, unknown
from harness.util.hashing import digest
from harness.util.paths import CONFIG, RESULTS, display_path


def resolve(
    experiment: Experiment, file: Path | str, results: Path = RESULTS
) -> tuple[list[Cell], dict[str, Study]]:
    """Return the cells of ``experiment`` in the order of its file, and its studies by name.

    Tuned files are read from ``results``.

    Raises:
        ConfigErrors: all unknown names and wrong values, each with file and key.
    """
    where = display_path(file) if isinstance(file, Path) else file
    return _Resolver(experiment, where, results).cells()


class _Resolver:
    """Looks up names and merges values; collects the errors of both."""

    def __init__(self, experiment: Experiment, where: str, results: Path) -> None:
        self.experiment = experiment
        self.where = where
        self.tuned = results / experiment.name / "tuned"
        self.fetched_models = results / "cache" / "models"
        self.errors: list[str] = []
        self.sources: dict[str, str] = {}

    def cells(self) -> tuple[list[Cell], dict[str, Study]]:
        experiment, folders = self.experiment, self.experiment.task_folders()
        base = self.lookup("protocol", catalogue.protocol, experiment.protocol)
        tasks = {t: self.lookup("tasks", lambda n: catalogue.task(n, folders), t) for t in experiment.tasks}
        models = {m: self.lookup("models", self.model, m) for m in experiment.models}
        self.errors += variant_errors(experiment, self.where)
        for name in experiment.variants:
            self.lookup(f"variants.{name}", partial(build_method, experiment, where=self.where), name)
        if base is not None:
            self.errors += _settings_errors(experiment, base, self.where)
            self.errors += _rule_errors(experiment.protocol, base)
        self.raise_errors()
        cells = [
            self.lookup("variants", partial(self.cell, base, task, model), variant)
            for task in tasks.values()
            for model in models.items()
            for variant in experiment.variants
        ]
        self.raise_errors()
        cells, studies = self.tuned_cells(cells)
        self.raise_errors()
        return cells, studies

    def tuned_cells(self, cells: list[Cell]) -> tuple[list[Cell], dict[str, Study]]:
        """Return the cells with tuned values, or marked as awaiting tuning, and the studies by name."""
        studies, errors = studies_of(self.experiment, cells, self.source, self.where)
        self.errors += errors
        self.raise_errors()
        find = partial(self.tuned_cell, {cell.name: cell for cell in cells}, studies)
        cells = [self.lookup(f"variants.{cell.variant}", find, cell.name) for cell in cells]
        return cells, {study.name: study for study in studies.values()}

    def tuned_cell(self, cells: dict[str, Cell], studies: dict[str, Study], name: str) -> Cell:
        """Return the cell ``name`` with its final arguments and the identity that follows from them."""
        experiment, study = self.experiment, studies.get(name)
        cell, changed = with_tuned_arguments(cells[name], experiment, study, self.tuned, self.source)
        if not changed:
            return cell
        model = (cell.model_name, cell.model)
        return replace(cell, identity=self.identity(cell.task, model, cell.protocol, cell.method))

    def lookup(self, key: str, find: Callable[[str], Any], name: str) -> Any:
        """Return ``find(name)``; if it fails, collect its errors and return None."""
        try:
            return find(name)
        except HarnessError as error:
            errors = error.errors if isinstance(error, ConfigErrors) else [f"{self.where}: {key}: {error}"]
            self.errors.extend(message for message in errors if message not in self.errors)
            return None

    def raise_errors(self) -> None:
        """Raise ConfigErrors if any errors were collected."""
        if self.errors:
            raise ConfigErrors(self.errors)

    def model(self, name: str) -> Model:
        """Return the model ``name``.

        Raises:
            HarnessError: the name is unknown, or the model's files are here and its type is not supported.
        """
        model = catalogue.model(name)
        folder = _files_of(name, model, self.fetched_models)
        kind = None if folder is None else model_type(folder, model)
        if kind is not None and (reason := unsupported(kind)) is not None:
            raise HarnessError(f"{name}: model type {kind} is not supported: {reason}")
        return model

    def cell(self, base: ProtocolFile, task: Task, model: tuple[str, Model], variant: str) -> Cell:
        """Return one cell with its method and protocol resolved, before tuning."""
        experiment, folders = self.experiment, self.experiment.method_folders()
        entry, change = catalogue.variant(experiment.base(variant), folders), experiment.change(variant)
        rules = base.rules_for(task.lineage, model[0], entry.method)
        values = merged(
            base.base(),
            *(rule.settings for rule in rules),
            experiment.settings,
            experiment.models[model[0]],
            experiment.tasks[task.name],
            change.settings,
        )
        protocol, errors = check(Protocol, values, self.where, f"{task.name}/{model[0]}/{variant}")
        if protocol is None:
            raise ConfigErrors(errors)
        protocol = protocol.times(entry.epochs_times)
        self.check_length(protocol, model)
        method = build_method(experiment, variant, self.where, rules)
        key = self.identity(task, model, protocol, method)
        return Cell(task.name, task, *model, variant, method, protocol, key)

    def check_length(self, protocol: Protocol, model: tuple[str, Model]) -> None:
        """Raise ConfigErrors if the model has fewer positions than the longest input."""
        name, folder = model[0], _files_of(*model, self.fetched_models)
        longest = None if folder is None else longest_input(folder, model[1])
        if longest is not None and protocol.max_length > longest:
            raise ConfigErrors(
                [
                    f"{self.where}: max_length: expected at most {longest}, the positions of {name}, "
                    f"got {protocol.max_length}"
                ]
            )

    def identity(self, task: Task, model: tuple[str, Model], protocol: Protocol, method: Method) -> str:
        """Return the hash of everything that determines a cell's results, except the seed."""
        named, computing = (task.name, task.identity()), self.experiment.numeric_changes()
        return digest(identity(named, model, protocol.identity(), method, self.source(method), computing))

    def source(self, method: Method) -> str:
        """Return the hash of a method's source."""
        if method.name not in self.sources:
            self.sources[method.name] = source_digest(*method_source(type(method)))
        return self.sources[method.name]


def build_method(experiment: Experiment, name: str, where: str, rules: Sequence[Rule] = ()) -> Method:
    """Return the method of the variant ``name`` with its arguments merged and checked, before tuning.

    Later sources override earlier ones: the method's defaults, the protocol's rules, the catalogue's variant,
    the experiment.

    Raises:
        HarnessError: the variant or its method is unknown, or the method cannot be used.
        ConfigErrors: all wrong arguments.
    """
    folders, change = experiment.method_folders(), experiment.change(name)
    variant = catalogue.variant(experiment.base(name), folders)
    kind = method_class(variant.method, folders)
    values: dict[str, Any] = {}
    for rule in rules:
        values |= rule.arguments
    assert isinstance(change.arguments, dict)
    values |= {**variant.arguments, **change.arguments}
    arguments, errors = check(kind.Arguments, values, where, f"variants.{name}.arguments")
    if arguments is None:
        raise ConfigErrors(errors)
    return kind(arguments)


def _files_of(name: str, model: Model, fetched: Path) -> Path | None:
    """Return the folder with the files of a model, or None if they are not here."""
    try:
        return fetched if model.random is not None else model_folder(name, model, fetched)
    except HarnessError:
        return None


def _layers(experiment: Experiment) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every block of protocol values with its key in the experiment's file."""
    yield "settings", experiment.settings
    yield from ((f"models.{name}", values) for name, values in experiment.models.items())
    yield from ((f"tasks.{name}", values) for name, values in experiment.tasks.items())
    yield from ((f"variants.{name}.settings", c.settings) for name, c in experiment.variants.items())


def _settings_errors(experiment: Experiment, base: ProtocolFile, where: str) -> list[str]:
    """Return the errors of protocol values. Separate checks make the messages name the block."""
    errors: list[str] = []
    for key, values in _layers(experiment):
        errors += check(Protocol, {**base.base(), **values}, where, key)[1]
    return errors


def _rule_errors(name: str, base: ProtocolFile) -> list[str]:
    """Return the errors in the rules of a protocol: names, values and arguments."""
    where = display_path(CONFIG / "protocols" / f"{name}.yaml")
    valid_names = {
        "tasks": list(catalogue.task_files()),
        "models": catalogue.names("models"),
        "methods": [*method_names(), *broken_methods()],
    }
    errors: list[str] = []
    for number, rule in enumerate(base.rules, start=1):
        key = f"rules.{number}"
        for kind, valid in valid_names.items():
            wrong = [n for n in getattr(rule.where, kind) if n not in valid]
            errors += [f"{where}: {key}.where.{kind}: {unknown(kind[:-1], n, valid)}" for n in wrong]
        errors += check(Protocol, {**base.base(), **rule.settings}, where, f"{key}.settings")[1]
        if rule.arguments and rule.where.methods[0] in method_names():
            arguments = method_class(rule.where.methods[0]).Arguments
            errors += check(arguments, rule.arguments, where, f"{key}.arguments")[1]
    return errors
