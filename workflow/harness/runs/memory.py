"""Peak memory of a part of this process: what torch allocated on a GPU, otherwise the resident set."""

import ctypes
import gc
from pathlib import Path

import torch

RESET, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
PEAK, PRESENT = "VmHWM", "VmRSS"


def reset_peak(device: torch.device) -> bool:
    """Start to measure a peak; return whether the system allows it (on a CPU: Linux)."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return True
    try:
        ctypes.CDLL(None).malloc_trim(0)
        RESET.write_text("5")
    except (OSError, AttributeError):  # another system, or a container that forbids it
        return False
    return True


def peak_bytes(device: torch.device) -> int:
    """Return the peak since ``reset_peak`` returned true, in bytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return _status(PEAK)


def resident_bytes() -> int:
    """Return the resident set of this process, on Linux."""
    return _status(PRESENT)


def _status(key: str) -> int:
    lines = STATUS.read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(f"{key}:")))
