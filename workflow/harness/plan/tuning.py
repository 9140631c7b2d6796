"""The ``tuning`` block of an experiment: budget, workers, pruner, storage, and what is searched."""

from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from harness.errors import unknown
from harness.methods.search import Range
from harness.plan.strict import Strict

SETTINGS = {
    "learning_rate": Range(1e-6, 1e-3, log=True),
    "warmup": Range(0.0, 0.5),
    "weight_decay": Range(0.0, 0.3),
    "clip_norm": Range(0.0, 10.0),
}
"""Protocol values that can be searched, for every method alike, and the most that is searched of them."""
KINDS = ("trials", "passes", "seconds")


class Tuning(Strict):
    """How the variants with ``arguments: tuned`` find theirs; every method gets the same."""

    trials: int | None = Field(default=None, ge=1, description="budget: trials of each search")
    passes: float | None = Field(
        default=None, gt=0, description="budget: passes of training, in forward passes' worth"
    )
    seconds: float | None = Field(default=None, gt=0, description="budget: seconds of all trials together")
    workers: int = Field(default=1, ge=1, description="jobs that share a search; 1 is reproducible")
    pruner: Literal["median", "hyperband", "none"] = Field(
        default="median", description="what stops hopeless trials: median, hyperband or none"
    )
    seeds: int = Field(default=1, ge=1, description="seeds of a trial, whose mean counts")
    studies: Literal["cell", "model"] = Field(
        default="cell", description="one search a cell, or one a model and variant over all tasks"
    )
    storage: str | None = Field(
        default=None, description="URL of a database for all workers; null for a journal file"
    )
    settings: dict[str, Any] = Field(
        default={"learning_rate": None}, description="protocol values searched for every method, narrowed"
    )
    space: dict[str, dict[str, Any]] = Field(
        default={}, description="variant to argument to the part of its space that is searched"
    )

    @field_validator("settings", mode="before")
    @classmethod
    def _names_only(cls, value: Any) -> Any:
        return dict.fromkeys(value) if isinstance(value, list) else value

    @field_validator("settings")
    @classmethod
    def _searchable(cls, value: dict[str, Any]) -> dict[str, Any]:
        if wrong := [unknown("setting", name, SETTINGS) for name in value if name not in SETTINGS]:
            raise ValueError(f"settings that can be searched: {'; '.join(wrong)}")
        return value

    @field_validator("storage")
    @classmethod
    def _is_url(cls, value: str | None) -> str | None:
        if value is not None and not urlsplit(value).scheme:
            raise ValueError("a URL such as postgresql://host/name, or null")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.storage is not None and urlsplit(self.storage).password:  # told here, where it is not shown
            raise ValueError("storage: a URL without a password; OPTUNA_STORAGE may name one with it")
        if sum(getattr(self, kind) is not None for kind in KINDS) != 1:
            raise ValueError(f"exactly one budget: {', '.join(KINDS)}")
        return self

    @property
    def kind(self) -> str:
        """What the budget counts."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def amount(self) -> float:
        """How much of it each search may spend."""
        return float(getattr(self, self.kind))

    @property
    def budget(self) -> dict[str, float]:
        """Kind and amount."""
        return {self.kind: getattr(self, self.kind)}
