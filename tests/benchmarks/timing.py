"""Step times, interleaved: every side takes the same batch in turn, in changing order."""

import statistics
import time

import torch

from benchmarks.sides import Step, small
from harness.methods.interface import Batch


def interleaved(
    steps: list[Step], batches: list[Batch], seconds: float, at_least: int = 1
) -> list[list[float]]:
    """Return the seconds of each side on each batch that ``seconds`` in all left time for."""
    for step in steps:
        step(small(batches[0]))
    found: list[list[float]] = [[] for _ in steps]
    start = time.perf_counter()
    for turn, batch in enumerate(batches):
        if turn >= at_least and time.perf_counter() - start > seconds:
            break
        for position in range(len(steps)):
            side = (turn + position) % len(steps)
            found[side].append(timed(steps[side], batch))
    return found


def timed(step: Step, batch: Batch) -> float:
    """Return the seconds of one step."""
    finish()
    start = time.perf_counter()
    step(batch)
    finish()
    return time.perf_counter() - start


def finish() -> None:
    """Wait for the GPU, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def middle(seconds: list[float]) -> float:
    """Return the median in milliseconds."""
    return 1000 * statistics.median(seconds)
