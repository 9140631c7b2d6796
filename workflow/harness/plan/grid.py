"""The grid: task x model x variant x seed, everything settled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.methods.interface import Method
from harness.plan.keys import digest
from harness.plan.model import Model
from harness.plan.protocol import Protocol
from harness.plan.task import Task

if TYPE_CHECKING:
    from harness.plan.study import Study


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
    study: Study | None = None
    """The search that its arguments come from."""
    waits: bool = False
    """Whether that search is still to do: arguments and identity are then those of no run."""

    @property
    def name(self) -> str:
        """``task/model/variant``."""
        return f"{self.task_name}/{self.model_name}/{self.variant}"

    @property
    def tokens_key(self) -> str:
        """Hash of what determines the token ids; cells that differ in method or protocol share it."""
        tokenizer = self.model.tokenizer_identity()
        return digest([self.task.identity(), tokenizer, self.protocol.max_length])[:8]

    @property
    def seen(self) -> str | None:
        """Why the model has seen the task's data, None if it is not known to have."""
        return next((why for name, why in self.model.seen.items() if name in self.task.data_names()), None)

    @property
    def fetched(self) -> bool:
        """Whether all rows, weights and the tokenizer are known by their hashes."""
        return self.model.known and not self.task.unknown_parts()


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


def runs(cells: list[Cell], seeds: list[int]) -> list[Run]:
    """Return every run of ``cells`` in order, each with its key."""
    return [Run(cell, seed, digest([cell.identity, seed])) for cell in cells for seed in seeds]
