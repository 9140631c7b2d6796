"""Experiment: a YAML file that defines runs as tasks x models x variants x seeds."""

from collections import Counter
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from harness.config.base import Strict, check
from harness.config.protocol import merged
from harness.config.tuning import Tuning
from harness.config.yaml_loader import read_yaml
from harness.util.errors import ConfigErrors

COMPUTING = ("device", "deterministic", "tf32", "fast", "micro_batch", "checkpoint_minutes")
"""Keys that set how runs are computed. They are part of the provenance."""
NUMERIC = {"fast": True, "tf32": False}
"""Those of them that change numbers, with their defaults: other values are part of the run key. Without fast
kernels dropout draws other masks, and TF32 has 10 bits."""
DEFAULT, TUNED = "default", "tuned"
NAME = r"^[a-z0-9][a-z0-9-]*$"


class VariantChange(Strict):
    """Changes that an experiment makes to a variant."""

    of: str | None = Field(
        default=None, description="variant whose arguments and settings this one inherits and overrides"
    )
    arguments: dict[str, Any] | str = Field(
        default={},
        description="method arguments, default, tuned, or the path of a tuned file (with {task} and {model})",
    )
    settings: dict[str, Any] = Field(default={}, description="protocol values for this variant only")

    @field_validator("arguments", mode="before")
    @classmethod
    def _mapping_or_source(cls, value: Any) -> Any:
        if not isinstance(value, (dict, str)):
            raise ValueError(f"a mapping, default, tuned, or a tuned file, got {value!r}")
        return value


class Experiment(Strict):
    """Tasks x models x variants x seeds under a protocol.

    Later sources override earlier ones for protocol values: protocol file, ``settings``, model, task,
    variant.
    """

    name: str = Field(pattern=NAME, description="folder below results/, e.g. quick")
    title: str = Field(description="title above the tables")
    banner: str | None = Field(default=None, description="warning that every table shows")
    protocol: str = Field(
        default="honest", description="name of a file in config/protocols, without extension"
    )
    settings: dict[str, Any] = Field(default={}, description="protocol values for all runs")
    tasks: dict[str, dict[str, Any]] = Field(
        min_length=1, description="task names, with protocol values if any"
    )
    models: dict[str, dict[str, Any]] = Field(
        min_length=1, description="model names, with protocol values if any"
    )
    variants: dict[str, VariantChange] = Field(min_length=1, description="variant names, with changes if any")
    tuning: Tuning | None = Field(default=None, description="how variants with `arguments: tuned` are tuned")
    seeds: list[int] = Field(min_length=1, description="distinct integers, 0 or larger")
    threads: int = Field(default=1, ge=1, description="CPU threads per run")
    runs_per_job: int = Field(
        default=1,
        ge=1,
        description="runs of one task and model that share a process and, on a cluster, a job",
    )
    cluster: bool = Field(
        default=False, description="if true, refuses to run locally unless `--config here=yes` is given"
    )
    checkpoint_minutes: float = Field(
        default=5.0, ge=0, description="minutes between checkpoints; 0 writes one after every batch"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="auto (a GPU if available), cpu or cuda"
    )
    deterministic: bool = Field(
        default=True, description="if true, an operation without a deterministic algorithm is an error"
    )
    tf32: bool = Field(
        default=False, description="whether a GPU may round fp32 products to TF32, which changes results"
    )
    fast: bool = Field(default=True, description="if false, the library's plain model is used, with padding")
    micro_batch: int | None = Field(
        default=None, ge=1, description="examples per forward pass, to save memory; null: the complete batch"
    )
    data_root: str | None = Field(
        default=None, description="data root: folder with data files that replace packages and fetched data"
    )
    tasks_dirs: list[str] = Field(default=[], description="folders with custom task files")
    methods_dirs: list[str] = Field(default=[], description="folders with custom method files")
    gpu_tflops: float = Field(
        default=30.0, gt=0, description="TFLOP/s that a GPU is assumed to sustain, for estimates of GPU-hours"
    )

    @field_validator("tasks", "models", "variants", mode="before")
    @classmethod
    def _names_only(cls, value: Any) -> Any:
        """Convert a plain list of names, and names without changes, to a mapping."""
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
        """Write ``owner/name`` as ``owner--name``, because names are used in paths."""
        return {name.replace("/", "--"): change for name, change in value.items()}

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, value: list[int]) -> list[int]:
        if repeated := [str(seed) for seed, n in Counter(value).items() if n > 1]:
            raise ValueError(f"each seed once, repeated: {', '.join(repeated)}")
        if any(seed < 0 for seed in value):
            raise ValueError("seeds to be 0 or larger")
        return value

    def numeric_changes(self) -> dict[str, bool]:
        """Return the values in NUMERIC that are not the default."""
        values = {name: bool(getattr(self, name)) for name in NUMERIC}
        return {name: value for name, value in values.items() if value != NUMERIC[name]}

    def base(self, variant: str) -> str:
        """Return the catalogue's variant that a variant of the experiment is based on."""
        return self.variants[variant].of or variant

    def change(self, variant: str) -> VariantChange:
        """Return the changes of a variant, merged over those of the variant that it inherits from."""
        change = self.variants[variant]
        base = self.variants.get(change.of or "", VariantChange())
        layers = [c.arguments for c in (base, change) if isinstance(c.arguments, dict)]
        arguments = {name: value for layer in layers for name, value in layer.items()}
        return VariantChange(arguments=arguments, settings=merged(base.settings, change.settings))

    def source(self, variant: str) -> str:
        """Return the source of a variant's arguments: ``default``, ``tuned``, or the path of a tuned file."""
        arguments = self.variants[variant].arguments
        return arguments if isinstance(arguments, str) else DEFAULT

    def task_folders(self) -> tuple[Path, ...]:
        """Return the folders with custom task files."""
        return tuple(Path(folder).expanduser() for folder in self.tasks_dirs)

    def method_folders(self) -> tuple[Path, ...]:
        """Return the folders with custom method files."""
        return tuple(Path(folder).expanduser() for folder in self.methods_dirs)

    def data_folder(self) -> Path | None:
        """Return the data root, or None."""
        return Path(self.data_root).expanduser() if self.data_root else None


def load_experiment(path: Path) -> Experiment:
    """Return the experiment in ``path``.

    Raises:
        HarnessError: the file cannot be read.
        ConfigErrors: all unknown keys and wrong values.
    """
    experiment, errors = check(Experiment, read_yaml(path), path)
    if experiment is None:
        raise ConfigErrors(errors)
    return experiment
