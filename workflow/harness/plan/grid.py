"""The grid of an experiment: resolved cells (task x model x variant) and their runs (cell + seed)."""

from dataclasses import dataclass
from pathlib import Path

from harness.config.model import Model
from harness.config.protocol import Protocol
from harness.config.task import Task
from harness.methods.interface import Method
from harness.util.hashing import digest


@dataclass(frozen=True)
class Cell:
    """Task x model x variant with its method arguments and protocol resolved."""

    task_name: str
    task: Task
    model_name: str
    model: Model
    variant: str
    method: Method
    protocol: Protocol
    identity: str
    """Hash of everything that determines the results, except the seed."""
    study: str | None = None
    """Name of the study that provides the arguments, if any."""
    awaits_tuning: bool = False
    """Whether that study is unfinished. If so, arguments are the defaults and the identity is provisional."""

    @property
    def name(self) -> str:
        """``task/model/variant``."""
        return f"{self.task_name}/{self.model_name}/{self.variant}"

    @property
    def tokens_key(self) -> str:
        """Hash of what determines the token ids: the task, the tokenizer and the maximum length."""
        tokenizer = self.model.tokenizer_identity()
        return digest([self.task.identity(), tokenizer, self.protocol.max_length])[:8]

    @property
    def contamination(self) -> str | None:
        """Reason why the model was trained on the task's data, or None if no contamination is known."""
        names = self.task.data_names()
        return next((why for name, why in self.model.contamination.items() if name in names), None)

    @property
    def fetched(self) -> bool:
        """Whether the hashes of all rows, of the weights and of the tokenizer are known."""
        return self.model.known and not self.task.unknown_parts()


@dataclass(frozen=True)
class Run:
    """A cell with a seed."""

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
    """Return the runs of ``cells`` in their order, each with its key."""
    return [Run(cell, seed, digest([cell.identity, seed])) for cell in cells for seed in seeds]
