"""What is measured: methods with their arguments and optimizers, tasks, and the targets."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.config import catalogue
from harness.config.experiment import Experiment, VariantChange
from harness.plan.plan import Plan
from harness.plan.resolve import resolve
from harness.util.paths import RESULTS

BATCH = 32
MAX_LENGTH = 256
PACKAGED = ["rotten_tomatoes", "stsb"]
"""Tasks whose data are packages, for a benchmark without a data root."""

# bf16 resolves a perturbation of this size, unlike the released one; the work is the same.
LARGE = {"start_size": 0.01, "radius": 0.1, "step_size": 0.05}
ADAMW = {"warmup": 0.0, "weight_decay": 0.01, "decay_bias_and_norm": True, "clip_norm": 0.0}


@dataclass(frozen=True)
class Setting:
    """A method with the arguments and the optimizer of both sides."""

    name: str
    family: str
    """Name of its reference loop (``parity.REFERENCES``)."""
    variant: str
    arguments: dict[str, Any]
    optimizer: dict[str, Any]
    forwards: int
    """Cost of a batch in the released code, in forwards (a full backward is 2)."""
    recorded: str
    """Time of the released code relative to a plain step, measured with batch 16 and lengths 10-64."""
    fp32: float
    bf16: float
    single: float
    """Targets: geometric means of the ratios, and the lowest ratio of a single task."""


def _mat(steps: int, recorded: str) -> Setting:
    arguments = {"steps_delta": steps, "steps_theta": steps, **LARGE}
    forwards = 1 + 3 * steps + 6 * steps
    return Setting(
        f"mat-{steps}-{steps}", "mat_code", "mat-code", arguments, ADAMW, forwards, recorded, 2.8, 4.0, 1.5
    )


FAIRSEQ = {**ADAMW, "adam_betas": [0.9, 0.98], "adam_epsilon": 1e-6, "weight_decay": 0.1}
EXEMPT = {**ADAMW, "decay_bias_and_norm": False, "clip_norm": 1.0}
SETTINGS = [
    Setting("vanilla", "vanilla", "vanilla", {}, ADAMW, 3, "1", 2.0, 3.0, 1.2),
    Setting("freelb-3", "freelb_hf", "freelb", {}, EXEMPT, 9, "3.15", 2.0, 3.0, 1.2),
    Setting("smart", "smart_author", "smart-author", {}, FAIRSEQ, 9, "2.65, 2.79 bare", 2.0, 3.0, 1.2),
    _mat(5, "17.9"),
    _mat(10, "33.2"),
]  # fmt: skip


def without_teacher(setting: Setting) -> Setting:
    """Return SMART as in the two other released codes: one pass less."""
    return replace(setting, name="smart-no-teacher", arguments={"teacher_weight": 0.0}, forwards=8)


def fewer_samples(setting: Setting) -> Setting:
    """Return MAT with two samples of each player; more samples take more time, but not more memory."""
    few = {"steps_delta": 2, "steps_theta": 2} if setting.family == "mat_code" else {}
    return replace(setting, arguments={**setting.arguments, **few})


def tasks(data_root: Path | None) -> list[str]:
    """Return the tasks that are measured by default."""
    if data_root is None:
        return PACKAGED
    names = catalogue.names("tasks")
    return ["stsb", "rte", "qnli-subset" if "qnli-subset" in names else "qnli", "cola"]


def plan_of(task: str, model: str, setting: Setting, precision: str, data_root: Path | None) -> Plan:
    """Return the plan of one cell."""
    settings = {
        **setting.optimizer,
        "batch_size": BATCH,
        "max_length": MAX_LENGTH,
        "learning_rate": 1e-5,
        "precision": precision,
    }
    experiment = Experiment(
        name="bench",
        title="Benchmark",
        settings=settings,
        tasks={task: {}},
        models={model: {}},
        variants={setting.variant: VariantChange(arguments=setting.arguments)},
        seeds=[1],
        data_root=None if data_root is None else str(data_root),
    )
    cells, _ = resolve(experiment, "bench")
    return Plan(Path("bench"), experiment, cells, [], RESULTS)
