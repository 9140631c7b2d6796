"""The ``tuning`` block of an experiment: budget, workers, pruner, storage and search space."""

from typing import Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from harness.config.base import Strict
from harness.methods.search_space import Range
from harness.util.errors import unknown

SETTINGS = {
    "learning_rate": Range(1e-6, 1e-3, log=True),
    "warmup": Range(0.0, 0.5),
    "weight_decay": Range(0.0, 0.3),
    "clip_norm": Range(0.0, 10.0),
}
"""Protocol values that can be searched, each with its widest range. They apply to every method."""
COST = "forward_equivalents"
KINDS = ("trials", COST, "seconds")


class Tuning(Strict):
    """How the variants with ``arguments: tuned`` are tuned. Every method gets the same budget."""

    renamed: ClassVar = {"passes": "forward_equivalents, which counts examples: multiply by the batch size"}
    trials: int | None = Field(default=None, ge=1, description="budget: trials of each study")
    forward_equivalents: float | None = Field(
        default=None,
        gt=0,
        description="budget: training cost of each study, in forward passes of one example",
    )
    seconds: float | None = Field(
        default=None, gt=0, description="budget: seconds of all trials of a study together"
    )
    workers: int = Field(default=1, ge=1, description="jobs that share a study; only 1 is reproducible")
    pruner: Literal["median", "hyperband", "none"] = Field(
        default="median", description="rule that stops unpromising trials: median, hyperband or none"
    )
    seeds: int = Field(default=1, ge=1, description="seeds per trial; its score is their mean")
    studies: Literal["cell", "model"] = Field(
        default="cell", description="one study per cell, or one per model and variant over all tasks"
    )
    storage: str | None = Field(
        default=None, description="URL of a database that all workers share; null: a journal file"
    )
    settings: dict[str, Any] = Field(
        default={"learning_rate": None},
        description="protocol values searched for every method, to a narrower range or null (full range)",
    )
    space: dict[str, dict[str, Any]] = Field(
        default={}, description="narrower search spaces: variant to argument to a range or a list"
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
        if self.storage is not None and urlsplit(self.storage).password:  # a field's own error would print it
            raise ValueError("storage: a URL without a password; set OPTUNA_STORAGE to a URL with one")
        if sum(getattr(self, kind) is not None for kind in KINDS) != 1:
            raise ValueError(f"exactly one budget: {', '.join(KINDS)}")
        return self

    @property
    def kind(self) -> str:
        """Unit of the budget, one of KINDS."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def amount(self) -> float:
        """Budget of each study, in that unit."""
        return float(getattr(self, self.kind))

    @property
    def budget(self) -> dict[str, float]:
        """Budget as ``{kind: amount}``."""
        return {self.kind: getattr(self, self.kind)}
