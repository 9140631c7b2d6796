"""Times of steps, interleaved: every side takes the same batch in turn, in changing order."""

import statistics
import time

import torch

from benchmarks.sides import Step, small
from harness.methods.interface import Batch


def interleaved(
    steps: list[Step], batches: list[Batch], seconds: float, at_least: int = 1
) -> list[list[float]]:
    """Return the seconds of each side on each batch, for as many batches as ``seconds`` in all allow."""
    for step in steps:
        step(small(batches[0]))
    times: list[list[float]] = [[] for _ in steps]
    start = time.perf_counter()
    for turn, batch in enumerate(batches):
        if turn >= at_least and time.perf_counter() - start > seconds:
            break
        for position in range(len(steps)):
            side = (turn + position) % len(steps)
            times[side].append(timed(steps[side], batch))
    return times


def timed(step: Step, batch: Batch) -> float:
    """Return the seconds of one step."""
    synchronize()
    start = time.perf_counter()
    step(batch)
    synchronize()
    return time.perf_counter() - start


def synchronize() -> None:
    """Wait for the GPU, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def median_ms(seconds: list[float]) -> float:
    """Return the median in milliseconds."""
    return 1000 * statistics.median(seconds)
