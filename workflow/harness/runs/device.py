"""The device of a run and how torch computes on it; none of this is part of a run's key."""

import logging
import os

import torch

from harness.errors import HarnessError
from harness.plan.experiment import Experiment

log = logging.getLogger(__name__)


def settle_torch(experiment: Experiment, threads: int) -> None:
    """Set threads, determinism and TF32 for this process; before anything is computed on a GPU."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if threads > usable:
        log.info("%d threads asked for, %d taken: this process may use no more processors", threads, usable)
    torch.set_num_threads(min(threads, usable))
    if experiment.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
    torch.use_deterministic_algorithms(experiment.deterministic)
    # Filling new memory with NaN helps to find bugs; equal bits do not need it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.set_float32_matmul_precision("high" if experiment.tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = experiment.tf32


def choose_device(wanted: str, precision: str) -> torch.device:
    """Return the device; ``auto`` is the GPU if there is one, else the CPU.

    Raises:
        HarnessError: a GPU is asked for, or needed by the precision, and there is none.
    """
    gpu = torch.cuda.is_available()
    if wanted == "cuda" and not gpu:
        raise HarnessError("device: cuda is asked for, but torch sees no GPU here; valid: auto, cpu, cuda")
    device = "cuda" if gpu and wanted != "cpu" else "cpu"
    if precision == "fp16" and device == "cpu":
        raise HarnessError("precision: fp16 needs a GPU; on a CPU: fp32 or bf16")
    return torch.device(device)


def is_lost() -> bool:
    """Tell whether the GPU answers this process no more: after some errors none of its runs can."""
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return False
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return True
    return False


def next_smaller(micro_batch: int | None, batch_size: int) -> int:
    """Return half of what was computed at a time when memory ran out.

    Raises:
        HarnessError: it was one example.
    """
    size = min(micro_batch or batch_size, batch_size)
    if size == 1:
        raise HarnessError(
            "out of memory with one example at a time: shorten max_length, or take a larger GPU"
        )
    return size // 2
