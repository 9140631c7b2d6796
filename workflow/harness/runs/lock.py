"""The run lock: one writer for a run folder, on one machine or on many.

The lock is made by an exclusive hard link, which is atomic on network file systems too. Its holder
is alive if its process is (same host), if its SLURM job runs on its node (``squeue``), or, where
neither can be asked, if its heartbeat is fresh.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.paths import shown
from harness.runs import slurm

HEARTBEAT_SECONDS = 15.0
STALE_SECONDS = 120.0
GUARD_SECONDS = 0.05


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of ``folder``.

    Raises:
        HarnessError: another process that is alive holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "lock"
    mine = _identity()
    _acquire(path, mine)
    stop = threading.Event()
    beat = threading.Thread(target=_beat, args=(path, stop), daemon=True)
    beat.start()
    try:
        yield
    finally:
        stop.set()
        beat.join()
        if _read(path) == mine:
            path.unlink(missing_ok=True)


def holder_of(folder: Path) -> dict[str, Any] | None:
    """Return who holds the lock of ``folder`` and is alive, None if nobody does."""
    holder = _read(folder / "lock")
    return holder if holder is not None and is_alive(holder, folder / "lock") else None


def is_held(folder: Path) -> bool:
    """Tell whether somebody who is alive holds the lock of ``folder``."""
    return holder_of(folder) is not None


def _identity() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "born": _birth(os.getpid()),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
        "slurm_node": os.environ.get("SLURMD_NODENAME"),
    }


def _acquire(path: Path, mine: dict[str, Any]) -> None:
    own = path.with_name(f".lock.{mine['host']}.{mine['pid']}")
    own.write_text(json.dumps(mine), encoding="utf-8")
    try:
        for _ in range(3):
            try:
                os.link(own, path)
                return
            except FileExistsError:
                holder = _read(path)
                if holder is not None and is_alive(holder, path):
                    raise HarnessError(_held(path, holder)) from None
                _remove_dead(path, own, holder)
        raise HarnessError(f"{shown(path)}: could not be taken: others take it at the same time; try again")
    finally:
        own.unlink(missing_ok=True)


def _remove_dead(path: Path, own: Path, holder: dict[str, Any] | None) -> None:
    """Remove a dead holder's lock, one process at a time: two at once would remove each other's new lock."""
    guard = path.with_name("lock.removal")
    try:
        os.link(own, guard)
    except FileExistsError:
        time.sleep(GUARD_SECONDS)
        if _age(guard) > STALE_SECONDS:  # its maker died in the lines below
            guard.unlink(missing_ok=True)
        return
    try:
        if _read(path) == holder:
            path.unlink(missing_ok=True)
    finally:
        guard.unlink(missing_ok=True)


def _age(path: Path) -> float:
    """Return the seconds since the last heartbeat; a file that is gone is as good as new."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _held(path: Path, holder: dict[str, Any]) -> str:
    job = f", SLURM job {holder['slurm_job']}" if holder.get("slurm_job") else ""
    return (
        f"{shown(path.parent)} is being trained by process {holder['pid']} on {holder['host']}{job}; "
        "wait for it, or stop it"
    )


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return content if isinstance(content, dict) else None


def is_alive(holder: dict[str, Any], path: Path) -> bool:
    """Tell whether the holder of a lock still works."""
    if holder.get("host") == socket.gethostname():
        return _birth(holder["pid"]) is not None and _birth(holder["pid"]) == holder.get("born")
    if holder.get("slurm_job"):
        told = slurm.works(holder["slurm_job"], holder.get("slurm_node"))
        if told is not None:
            return told
    try:
        return time.time() - path.stat().st_mtime < STALE_SECONDS
    except FileNotFoundError:
        return False


def _birth(pid: int) -> str | None:
    """Return when a process of this host started (pids are used again), or None if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19]
    except OSError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "unknown"  # a system without /proc


def _beat(path: Path, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_SECONDS):
        try:
            os.utime(path)
        except FileNotFoundError:
            return
