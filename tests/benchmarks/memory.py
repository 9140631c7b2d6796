"""Peak memory of one step, each side in a process of its own.

CPU: the process's highest resident set during the step (its mark is set back before it, on Linux), less
what the process held before the model was built. GPU: torch's own count of allocated memory.
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
from benchmarks.sides import middling, ours, reference, small

MARK = Path("/proc/self/clear_refs")
PRELOADED = ["torch", "transformers", "benchmarks.memory"]


def peak_mb(
    task: str, model: str, setting: Setting, side: str, data_root: Path | None, threads: int
) -> float:
    """Return the peak of one step; ``side`` is reference, fp32 or bf16."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)  # forked before any computation: threads start in the child
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        few = fewer_samples(setting)
        return pool.submit(_peak, task, model, few, side, data_root, threads).result()


def _peak(task: str, model: str, setting: Setting, side: str, data_root: Path | None, threads: int) -> float:
    torch.set_num_threads(threads)
    before = _resident()
    mine = ours(task, model, setting, "bf16" if side == "bf16" else "fp32", data_root)
    batch = middling(mine, 1)[0]
    step = mine.step
    if side == "reference":
        step = reference(mine, setting).step
        del mine
    step(small(batch))  # the moments exist from here on
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        step(batch)
        return torch.cuda.max_memory_allocated() / 1e6
    _set_mark_back()
    step(batch)
    return (_highest() - before) / 1e6


def _set_mark_back() -> None:
    gc.collect()
    if MARK.exists():
        ctypes.CDLL(None).malloc_trim(0)
        MARK.write_text("5")


def _resident() -> int:
    """Return the bytes held now, or at most so far where that is not told."""
    return _status("VmRSS") if MARK.exists() else _highest()


def _highest() -> int:
    if MARK.exists():
        return _status("VmHWM")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(key + ":")))
