"""The device of a run and how torch computes on it; none of this is part of a run's key."""

import logging
import os

import torch

from harness.config.experiment import Experiment
from harness.util.errors import HarnessError

log = logging.getLogger(__name__)


def configure_torch(experiment: Experiment, threads: int) -> None:
    """Set threads, determinism and TF32 of this process, before anything is computed on a GPU."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if threads > usable:
        log.info("%d threads requested, %d used: this process may use no more processors", threads, usable)
    torch.set_num_threads(min(threads, usable))
    if experiment.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
    torch.use_deterministic_algorithms(experiment.deterministic)
    # Filling new memory with NaN helps to find bugs; equal bits do not need it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.set_float32_matmul_precision("high" if experiment.tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = experiment.tf32


def choose_device(device: str, precision: str) -> torch.device:
    """Return the device; ``auto`` is the GPU if there is one, otherwise the CPU.

    Raises:
        HarnessError: a GPU is requested, or needed by the precision, and there is none.
    """
    gpu = torch.cuda.is_available()
    if device == "cuda" and not gpu:
        raise HarnessError("device: cuda is requested, but torch finds no GPU; valid: auto, cpu, cuda")
    kind = "cuda" if gpu and device != "cpu" else "cpu"
    if precision == "fp16" and kind == "cpu":
        raise HarnessError("precision: fp16 needs a GPU; on a CPU: fp32 or bf16")
    return torch.device(kind)


def gpu_is_lost() -> bool:
    """Return whether the GPU no longer answers this process: after some errors none of its runs can go on."""
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return False
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return True
    return False
