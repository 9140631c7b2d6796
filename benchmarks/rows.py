"""The measured rows of one task."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.memory import peak_mb
from benchmarks.settings import SETTINGS, Setting, fewer_samples
from benchmarks.sides import Ours, middle_batches, ours, reference
from benchmarks.timing import interleaved, median_ms
from harness.engine.perturbation import last_perturbation, measure
from harness.methods.interface import Batch

PRECISIONS = ("fp32", "bf16")
BATCHES = 7


@dataclass(frozen=True)
class Row:
    """Time, memory and work of a step of one method on one task, ours and the reference."""

    task: str
    method: str
    precision: str
    ours_ms: float
    reference_ms: float
    ratio: float
    passes: dict[str, int]
    tokens: int
    """Real tokens of the measured batches."""
    computed_tokens: int
    """Tokens that our side computes in a pass."""
    padded_tokens: int
    """Tokens of the padded batches."""
    ours_peak_mb: float
    reference_peak_mb: float
    batches: int
    counted: bool
    """Whether the precision resolves the perturbation, if there is one."""


def task_rows(
    task: str,
    model: str,
    data_root: Path | None,
    seconds: float,
    threads: int,
    settings: list[Setting] = SETTINGS,
) -> Iterator[Row]:
    """Yield the rows of a task; both precisions of a method are compared with the same reference steps."""
    memory: dict[tuple[str, str], float] = {}
    for setting in settings:
        sides = [ours(task, model, setting, precision, data_root) for precision in PRECISIONS]
        batches = middle_batches(sides[0], BATCHES)
        steps = [reference(sides[0], setting).step, *(side.step for side in sides)]
        times = interleaved(steps, batches, seconds)
        measured = batches[: len(times[0])]
        for side in ("reference", *PRECISIONS):
            key = (setting.family, side)  # more samples take no more memory
            memory[key] = memory.get(key) or peak_mb(task, model, setting, side, data_root, threads)
        reference_ms = median_ms(times[0])
        for precision, side, times_of_side in zip(PRECISIONS, sides, times[1:], strict=True):
            ours_ms = median_ms(times_of_side)
            yield Row(
                task=task,
                method=setting.name,
                precision=precision,
                ours_ms=round(ours_ms, 1),
                reference_ms=round(reference_ms, 1),
                ratio=round(reference_ms / ours_ms, 3),
                passes=side.method.passes(side.method.arguments, side.encoder.regression).as_dict(),
                tokens=sum(batch.tokens for batch in measured),
                computed_tokens=computed_tokens(side, measured),
                padded_tokens=sum(batch.input_ids.numel() for batch in measured),
                ours_peak_mb=round(memory[setting.family, precision], 1),
                reference_peak_mb=round(memory[setting.family, "reference"], 1),
                batches=len(measured),
                counted=precision == "fp32" or resolved(setting, side, measured[0]),
            )


def computed_tokens(side: Ours, batches: list[Batch]) -> int:
    """Return the tokens that our side computes in one pass over the batches."""
    meter, before = side.encoder.meter, side.encoder.meter.computed_tokens
    for batch in batches:
        side.encoder.count_forward(batch)
    return meter.computed_tokens - before


def resolved(setting: Setting, side: Ours, batch: Batch) -> bool:
    """Return whether bf16 resolves the perturbation of the setting; true if it has none."""
    arguments = fewer_samples(setting).arguments
    few = type(side.method.arguments)(**{**side.method.arguments.model_dump(), **arguments})
    perturbation = last_perturbation(side.encoder, type(side.method)(few), batch, side.optimizer)
    return perturbation is None or bool(measure(side.encoder, batch, perturbation, "bf16").resolved)
