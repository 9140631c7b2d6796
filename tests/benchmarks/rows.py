"""The measured rows of one task."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.memory import peak_mb
from benchmarks.settings import SETTINGS, Setting, fewer_samples
from benchmarks.sides import Ours, middling, ours, reference
from benchmarks.timing import interleaved, middle
from harness.core.magnitude import last_perturbation, measure
from harness.methods.interface import Batch

PRECISIONS = ("fp32", "bf16")
BATCHES = 7
Row = dict[str, Any]


def task_rows(
    task: str,
    model: str,
    data_root: Path | None,
    seconds: float,
    threads: int,
    settings: list[Setting] = SETTINGS,
) -> Iterator[Row]:
    """Yield the rows of a task, both precisions of a method against one measured reference."""
    memory: dict[tuple[str, str], float] = {}
    for setting in settings:
        mine = [ours(task, model, setting, precision, data_root) for precision in PRECISIONS]
        batches = middling(mine[0], BATCHES)
        steps = [reference(mine[0], setting).step, *(side.step for side in mine)]
        times = interleaved(steps, batches, seconds)
        used = batches[: len(times[0])]
        for side in ("reference", *PRECISIONS):
            key = (setting.family, side)  # more samples take no more memory
            memory[key] = memory.get(key) or peak_mb(task, model, setting, side, data_root, threads)
        for precision, side, seconds_taken in zip(PRECISIONS, mine, times[1:], strict=True):
            yield {
                "task": task,
                "method": setting.name,
                "precision": precision,
                "ours_ms": round(middle(seconds_taken), 1),
                "reference_ms": round(middle(times[0]), 1),
                "ratio": round(middle(times[0]) / middle(seconds_taken), 3),
                "passes": side.method.passes(side.method.arguments, side.encoder.regression).as_dict(),
                **tokens(side, used),
                "ours_peak_mb": round(memory[setting.family, precision], 1),
                "reference_peak_mb": round(memory[setting.family, "reference"], 1),
                "batches": len(used),
                "counted": precision == "fp32" or resolved(setting, side, used[0]),
            }


def tokens(side: Ours, batches: list[Batch]) -> dict[str, int]:
    """Return the real tokens of the batches, and those that our side and a padded one compute for a pass."""
    meter, before = side.encoder.meter, side.encoder.meter.computed_tokens
    for batch in batches:
        side.encoder._count_forward(batch)
    return {
        "tokens": sum(batch.tokens for batch in batches),
        "computed_tokens": meter.computed_tokens - before,
        "padded_tokens": sum(batch.ids.numel() for batch in batches),
    }


def resolved(setting: Setting, side: Ours, batch: Batch) -> bool:
    """Tell whether bf16 resolves the setting's perturbation; with none there is nothing to resolve."""
    arguments = fewer_samples(setting).arguments
    few = type(side.method.arguments)(**{**side.method.arguments.model_dump(), **arguments})
    perturbation = last_perturbation(side.encoder, type(side.method)(few), batch, side.update)
    return perturbation is None or measure(side.encoder, batch, perturbation, "bf16").resolved
