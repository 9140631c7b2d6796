"""Experiment: a YAML file that spans runs."""

from collections import Counter
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from harness.errors import MistakesError
from harness.plan.strict import Strict, check
from harness.plan.tuning import Tuning
from harness.plan.yamlfile import read_yaml

COMPUTING = ("device", "deterministic", "tf32", "micro_batch", "checkpoint_minutes")
"""Keys that say how runs are computed; they are in the provenance, not in a run's key."""


DEFAULT, TUNED = "default", "tuned"


class VariantChange(Strict):
    """What an experiment changes in a variant."""

    of: str | None = Field(
        default=None, description="variant of this experiment that it is, but for what it says itself"
    )
    arguments: dict[str, Any] | str = Field(
        default={},
        description="method arguments; default, tuned, or a tuned file ({task} and {model} stand in)",
    )
    settings: dict[str, Any] = Field(default={}, description="protocol values for this variant alone")

    @field_validator("arguments", mode="before")
    @classmethod
    def _mapping_or_source(cls, value: Any) -> Any:
        if not isinstance(value, (dict, str)):
            raise ValueError(f"a mapping, default, tuned, or a tuned file, got {value!r}")
        return value


class Experiment(Strict):
    """Tasks x models x variants x seeds under a protocol.

    Protocol values are settled in this order, later ones win: protocol file, ``settings``, the
    model's, the task's, the variant's.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="folder below results/, e.g. quick")
    title: str = Field(description="one line above the tables")
    banner: str | None = Field(default=None, description="warning that every table carries")
    protocol: str = Field(default="honest", description="name of a file in config/protocols")
    settings: dict[str, Any] = Field(default={}, description="protocol values for all runs")
    tasks: dict[str, dict[str, Any]] = Field(
        min_length=1, description="task names, with protocol values if any"
    )
    models: dict[str, dict[str, Any]] = Field(
        min_length=1, description="model names, with protocol values if any"
    )
    variants: dict[str, VariantChange] = Field(min_length=1, description="variant names, with changes if any")
    tuning: Tuning | None = Field(
        default=None, description="how variants with `arguments: tuned` find theirs"
    )
    seeds: list[int] = Field(min_length=1, description="a list of different whole numbers")
    threads: int = Field(default=1, ge=1, description="CPU threads of a run")
    runs_per_job: int = Field(
        default=1, ge=1, description="runs of one task and model that share a process, and a job on a cluster"
    )
    cluster: bool = Field(
        default=False, description="meant for a cluster: without one it starts only if one insists"
    )
    checkpoint_minutes: float = Field(
        default=5.0, ge=0, description="minutes between checkpoints of a run; 0 writes one after every batch"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="auto (a GPU if there is one), cpu or cuda"
    )
    deterministic: bool = Field(
        default=True, description="whether an operation that has no deterministic algorithm is an error"
    )
    tf32: bool = Field(default=False, description="whether a GPU may round fp32 products to TF32: other bits")
    micro_batch: int | None = Field(
        default=None, ge=1, description="examples computed at a time, to save memory; null for whole batches"
    )
    data_root: str | None = Field(
        default=None, description="folder with data files, instead of packages and fetched data"
    )
    tasks_dirs: list[str] = Field(default=[], description="folders with task files of one's own")
    methods_dirs: list[str] = Field(default=[], description="folders with method files of one's own")
    gpu_tflops: float = Field(
        default=30.0, gt=0, description="TFLOP/s that a GPU is taken to sustain, for estimates of hours"
    )

    @field_validator("tasks", "models", "variants", mode="before")
    @classmethod
    def _names_only(cls, value: Any) -> Any:
        """Accept a plain list of names, and names without changes."""
        if isinstance(value, list):
            if repeated := [str(name) for name, n in Counter(map(str, value)).items() if n > 1]:
                raise ValueError(f"each name once, repeated: {', '.join(repeated)}")
            return {name: {} for name in value}
        if isinstance(value, dict):
            return {name: {} if change is None else change for name, change in value.items()}
        return value

    @field_validator("models")
    @classmethod
    def _names_for_paths(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Write ``owner/name`` of the Hub as ``owner--name``: names stand in paths."""
        return {name.replace("/", "--"): change for name, change in value.items()}

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, value: list[int]) -> list[int]:
        if repeated := [str(seed) for seed, n in Counter(value).items() if n > 1]:
            raise ValueError(f"each seed once, repeated: {', '.join(repeated)}")
        if any(seed < 0 for seed in value):
            raise ValueError("seeds to be 0 or larger")
        return value

    def base(self, variant: str) -> str:
        """Return the variant of the catalogue that a variant of the experiment is."""
        return self.variants[variant].of or variant

    def change(self, variant: str) -> VariantChange:
        """Return what is changed in that variant: its own changes over those of the one that it is of."""
        own = self.variants[variant]
        other = self.variants.get(own.of or "", VariantChange())
        arguments = [c.arguments for c in (other, own) if isinstance(c.arguments, dict)]
        merged = {name: value for layer in arguments for name, value in layer.items()}
        return VariantChange(arguments=merged, settings={**other.settings, **own.settings})

    def source(self, variant: str) -> str:
        """Return where the arguments come from: ``default``, ``tuned``, or a tuned file."""
        own = self.variants[variant].arguments
        return own if isinstance(own, str) else DEFAULT

    def task_folders(self) -> tuple[Path, ...]:
        """Return the folders with task files of one's own."""
        return tuple(Path(folder).expanduser() for folder in self.tasks_dirs)

    def method_folders(self) -> tuple[Path, ...]:
        """Return the folders with method files of one's own."""
        return tuple(Path(folder).expanduser() for folder in self.methods_dirs)

    def data_folder(self) -> Path | None:
        """Return the data root, None without one."""
        return Path(self.data_root).expanduser() if self.data_root else None


def load_experiment(path: Path) -> Experiment:
    """Return the experiment in ``path``.

    Raises:
        HarnessError: the file cannot be read.
        MistakesError: unknown keys or wrong values, all of them.
    """
    experiment, mistakes = check(Experiment, read_yaml(path), path)
    if experiment is None:
        raise MistakesError(mistakes)
    return experiment
