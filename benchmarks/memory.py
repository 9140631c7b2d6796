"""Peak memory of one step; each side has its own process.

CPU (on Linux): the largest resident set of the process during the step, minus the resident set before the
model was built. GPU: the memory that torch allocated.
"""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from benchmarks.settings import Setting, fewer_samples
from benchmarks.sides import middle_batches, ours, reference, small
from harness.runs.memory import peak_bytes, reset_peak, resident_bytes
from harness.util.errors import HarnessError

PRELOADED = ["torch", "transformers", "benchmarks.memory"]


def peak_mb(
    task: str, model: str, setting: Setting, side: str, data_root: Path | None, threads: int
) -> float:
    """Return the peak of one step; ``side`` is reference, fp32 or bf16."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)  # forked before any computation, so threads start in the child
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        few = fewer_samples(setting)
        return pool.submit(_peak, task, model, few, side, data_root, threads).result()


def _peak(task: str, model: str, setting: Setting, side: str, data_root: Path | None, threads: int) -> float:
    torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    before = 0 if device.type == "cuda" else resident_bytes()
    side_ours = ours(task, model, setting, "bf16" if side == "bf16" else "fp32", data_root)
    batch = middle_batches(side_ours, 1)[0]
    step = side_ours.step
    if side == "reference":
        step = reference(side_ours, setting).step
        del side_ours
    step(small(batch))  # creates the moments
    if not reset_peak(device):
        raise HarnessError("this system cannot measure the peak memory of a step")
    step(batch)
    return (peak_bytes(device) - before) / 1e6
