"""Folders that a user gives on the command line, and suggested commands that keep them."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.config.experiment import Experiment
from harness.util.paths import RESULTS

ALL = ("--data-root", "--tasks-dir", "--methods-dir", "--out")
ACCEPTED = {
    "compare": ("--data-root", "--tasks-dir", "--methods-dir"),
    "diagnose": ALL,
    "fetch": ("--data-root", "--tasks-dir", "--out"),
    "run": ALL,
}
"""Options of these that a command accepts; other commands accept only ``--out``."""


@dataclass(frozen=True)
class Locations:
    """The options --data-root, --tasks-dir, --methods-dir and --out, as the user typed them."""

    data_root: str | None = None
    tasks_dirs: tuple[str, ...] = ()
    methods_dirs: tuple[str, ...] = ()
    results: Path = RESULTS

    def added_to(self, experiment: Experiment) -> Experiment:
        """Return ``experiment`` with these folders: a data root replaces its own, others come before."""
        changes = {
            "data_root": self.data_root,
            "tasks_dirs": self.tasks_dirs and [*self.tasks_dirs, *experiment.tasks_dirs],
            "methods_dirs": self.methods_dirs and [*self.methods_dirs, *experiment.methods_dirs],
        }
        return experiment.model_copy(update={key: value for key, value in changes.items() if value})

    def options(self) -> Iterator[tuple[str, str]]:
        """Yield the options that differ from their defaults, with their values."""
        if self.data_root is not None:
            yield "--data-root", self.data_root
        yield from (("--tasks-dir", folder) for folder in self.tasks_dirs)
        yield from (("--methods-dir", folder) for folder in self.methods_dirs)
        if self.results != RESULTS:
            yield "--out", str(self.results)


DEFAULTS = Locations()


def suggest(verb: str, *words: str, locations: Locations = DEFAULTS) -> str:
    """Return the command ``harness VERB WORDS`` with the user's folders, as one types it in a shell."""
    options = [option for option in locations.options() if option[0] in ACCEPTED.get(verb, ("--out",))]
    return shlex.join(["harness", verb, *words, *(part for option in options for part in option)])
