"""Peak memory of one step; each side has its own process.

CPU: the largest resident set of the process during the step (on Linux, the mark is reset before the step),
minus the resident set before the model was built. GPU: the memory that torch allocated.
"""

import ctypes
import gc
import multiprocessing
import resource
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from benchmarks.settings import Setting, fewer_samples
from benchmarks.sides import middle_batches, ours, reference, small

MARK = Path("/proc/self/clear_refs")
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
    before = _resident()
    side_ours = ours(task, model, setting, "bf16" if side == "bf16" else "fp32", data_root)
    batch = middle_batches(side_ours, 1)[0]
    step = side_ours.step
    if side == "reference":
        step = reference(side_ours, setting).step
        del side_ours
    step(small(batch))  # creates the moments
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        step(batch)
        return torch.cuda.max_memory_allocated() / 1e6
    _reset_mark()
    step(batch)
    return (_highest() - before) / 1e6


def _reset_mark() -> None:
    gc.collect()
    if MARK.exists():
        ctypes.CDLL(None).malloc_trim(0)
        MARK.write_text("5")


def _resident() -> int:
    """Return the present bytes, or the largest so far if the system does not report the present."""
    return _status("VmRSS") if MARK.exists() else _highest()


def _highest() -> int:
    if MARK.exists():
        return _status("VmHWM")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(key + ":")))
