"""The grid: an experiment resolved into cells and runs, with all mistakes told at once."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.numerics import NUMERICS
from harness.errors import HarnessError, MistakesError
from harness.methods.interface import Method
from harness.methods.registry import method_class, method_file
from harness.paths import shown
from harness.plan import catalogue
from harness.plan.experiment import Experiment, VariantChange
from harness.plan.keys import digest, source_digest
from harness.plan.model import Model
from harness.plan.protocol import Protocol
from harness.plan.strict import check
from harness.plan.task import Task


@dataclass(frozen=True)
class Cell:
    """Task x model x variant, everything settled but the seed."""

    task_name: str
    task: Task
    model_name: str
    model: Model
    variant: str
    method: Method
    protocol: Protocol
    identity: str
    """Hash of all that determines the numbers, except the seed."""

    @property
    def name(self) -> str:
        """``task/model/variant``."""
        return f"{self.task_name}/{self.model_name}/{self.variant}"

    @property
    def tokens_key(self) -> str:
        """Hash of what determines the token ids; cells that differ in method or protocol share it."""
        return digest([self.task.identity(), self.model.tokenizer_sha256, self.protocol.max_length])[:8]


@dataclass(frozen=True)
class Run:
    """Cell + seed."""

    cell: Cell
    seed: int
    key: str

    @property
    def folder(self) -> Path:
        """The run folder, relative to ``results/<experiment>/runs``."""
        return Path(self.cell.name, f"seed{self.seed}-{self.key[:8]}")

    @property
    def name(self) -> str:
        """``task/model/variant/seed<k>``."""
        return f"{self.cell.name}/seed{self.seed}"


def resolve(experiment: Experiment, file: Path | str) -> list[Cell]:
    """Return every cell of ``experiment``, in the order of its file.

    Raises:
        MistakesError: unknown names and wrong values, all of them, each with file and key.
    """
    where = shown(file) if isinstance(file, Path) else file
    mistakes: list[str] = []

    def named(key: str, look: Any, name: str) -> Any:
        try:
            return look(name)
        except HarnessError as error:
            more = error.mistakes if isinstance(error, MistakesError) else [f"{where}: {key}: {error}"]
            mistakes.extend(m for m in more if m not in mistakes)
            return None

    base = named("protocol", catalogue.protocol, experiment.protocol)
    tasks = {name: named("tasks", catalogue.task, name) for name in experiment.tasks}
    models = {name: named("models", catalogue.model, name) for name in experiment.models}
    methods = {
        name: named(f"variants.{name}", lambda n, c=change: build_method(n, c, where), name)
        for name, change in experiment.variants.items()
    }
    if base is not None:
        mistakes += _settings_mistakes(experiment, base, where)
    if mistakes:
        raise MistakesError(mistakes)
    return [
        _cell(experiment, base, (t, tasks[t]), (m, models[m]), (v, methods[v]))
        for t in tasks
        for m in models
        for v in methods
    ]


def build_method(variant_name: str, change: VariantChange, where: str) -> Method:
    """Return the method of a variant with its arguments settled and checked."""
    variant = catalogue.variant(variant_name)
    kind = method_class(variant.method)
    values = {**variant.arguments, **change.arguments}
    arguments, wrong = check(kind.Arguments, values, where, f"variants.{variant_name}.arguments")
    if arguments is None:
        raise MistakesError(wrong)
    return kind(arguments)


def _layers(experiment: Experiment) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "settings", experiment.settings
    yield from ((f"models.{name}", values) for name, values in experiment.models.items())
    yield from ((f"tasks.{name}", values) for name, values in experiment.tasks.items())
    yield from ((f"variants.{name}.settings", c.settings) for name, c in experiment.variants.items())


def _settings_mistakes(experiment: Experiment, base: Protocol, where: str) -> list[str]:
    """Check each layer of protocol values by itself, so that a mistake is told where it was made."""
    mistakes: list[str] = []
    for key, values in _layers(experiment):
        mistakes += check(Protocol, {**base.model_dump(), **values}, where, key)[1]
    return mistakes


def _cell(
    experiment: Experiment,
    base: Protocol,
    task: tuple[str, Task],
    model: tuple[str, Model],
    variant: tuple[str, Method],
) -> Cell:
    values = base.model_dump()
    for layer in (
        experiment.settings,
        experiment.models[model[0]],
        experiment.tasks[task[0]],
        experiment.variants[variant[0]].settings,
    ):
        values |= layer
    values["epochs"] *= catalogue.variant(variant[0]).epochs_times
    protocol = Protocol.model_validate(values)
    method = variant[1]
    identity = digest(
        {
            "task": task[1].identity(),
            "model": model[1].identity(),
            "protocol": protocol.model_dump(),
            "method": method.name,
            "arguments": method.arguments.model_dump(),
            "source": source_digest(method_file(method.name)),
            "numerics": NUMERICS,
        }
    )
    return Cell(task[0], task[1], model[0], model[1], variant[0], method, protocol, identity)


def runs(cells: list[Cell], seeds: list[int]) -> list[Run]:
    """Return every run of ``cells`` in order, each with its key."""
    return [Run(cell, seed, digest([cell.identity, seed])) for cell in cells for seed in seeds]
