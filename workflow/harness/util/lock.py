"""The lock of a folder: one holder at a time, across processes and machines. Runs, studies and stores use it.

A lock is created as a hard link, which is exclusive and atomic on network file systems too. Its holder
counts as alive if its process exists (same host) or if its SLURM job runs on its node (``squeue``). If
neither can be queried, the holder counts as alive while its heartbeat is fresh.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.util import slurm
from harness.util.errors import HarnessError
from harness.util.paths import display_path

LOCK = "lock"
HEARTBEAT_SECONDS = 15.0
STALE_SECONDS = 120.0
GUARD_SECONDS = 0.05
POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock."""

    host: str
    pid: int
    born: str | None
    """Start time of the process, because process ids are reused."""
    slurm_job: str | None
    slurm_node: str | None

    @classmethod
    def this_process(cls) -> "Holder":
        """Return the holder that describes this process."""
        return cls(
            host=socket.gethostname(),
            pid=os.getpid(),
            born=_birth(os.getpid()),
            slurm_job=os.environ.get("SLURM_JOB_ID"),
            slurm_node=os.environ.get("SLURMD_NODENAME"),
        )


@contextmanager
def hold_lock(folder: Path, name: str = LOCK, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold the lock ``name`` of ``folder``; wait at most ``wait_seconds`` for another live holder.

    Raises:
        HarnessError: another live process holds the lock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, holder = folder / name, Holder.this_process()
    _acquire(path, holder, time.monotonic() + wait_seconds)
    stop = threading.Event()
    heartbeat = threading.Thread(target=_beat, args=(path, stop), daemon=True)
    heartbeat.start()
    try:
        yield
    finally:
        stop.set()
        heartbeat.join()
        if _read(path) == holder:
            path.unlink(missing_ok=True)


def holder_of(folder: Path, name: str = LOCK) -> Holder | None:
    """Return the live holder of the lock ``name`` of ``folder``, or None."""
    holder = _read(folder / name)
    return holder if holder is not None and is_alive(holder, folder / name) else None


def is_held(folder: Path, name: str = LOCK) -> bool:
    """Return whether a live process holds the lock ``name`` of ``folder``."""
    return holder_of(folder, name) is not None


def is_alive(holder: Holder, path: Path) -> bool:
    """Return whether ``holder``, read from the lock file ``path``, is still running."""
    if holder.host == socket.gethostname():
        born = _birth(holder.pid)
        return born is not None and born == holder.born
    if holder.slurm_job:
        running = slurm.works(holder.slurm_job, holder.slurm_node)
        if running is not None:
            return running
    try:
        return time.time() - path.stat().st_mtime < STALE_SECONDS
    except FileNotFoundError:
        return False


def _acquire(path: Path, claimant: Holder, deadline: float) -> None:
    claim = path.with_name(f".{path.name.lstrip('.')}.{claimant.host}.{claimant.pid}.{threading.get_ident()}")
    claim.write_text(json.dumps(asdict(claimant)), encoding="utf-8")
    try:
        contests = 0
        while True:
            try:
                os.link(claim, path)
                return
            except FileExistsError:
                holder = _read(path)
                alive = holder is not None and is_alive(holder, path)
                if time.monotonic() < deadline:
                    time.sleep(POLL_SECONDS)
                elif holder is not None and alive:
                    raise HarnessError(_in_use(path, holder)) from None
                elif contests == 3:
                    message = f"{display_path(path)}: other processes are taking the lock; try again"
                    raise HarnessError(message) from None
                else:
                    contests += 1
                if not alive:
                    _remove_dead(path, claim, holder)
    finally:
        claim.unlink(missing_ok=True)


def _remove_dead(path: Path, claim: Path, holder: Holder | None) -> None:
    """Remove the lock of a dead ``holder``.

    A guard admits one process at a time: two at once could remove each other's new lock.
    """
    guard = path.with_name(f"{path.name}.removal")
    try:
        os.link(claim, guard)
    except FileExistsError:
        time.sleep(GUARD_SECONDS)
        if _age(guard) > STALE_SECONDS:  # its creator died before it removed the guard
            guard.unlink(missing_ok=True)
        return
    try:
        if _read(path) == holder:
            path.unlink(missing_ok=True)
    finally:
        guard.unlink(missing_ok=True)


def _age(path: Path) -> float:
    """Return the seconds since the last heartbeat. A missing file counts as age 0."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _in_use(path: Path, holder: Holder) -> str:
    job = f", SLURM job {holder.slurm_job}" if holder.slurm_job else ""
    return (
        f"{display_path(path.parent)} is in use by process {holder.pid} on {holder.host}{job}; "
        "wait for it, or stop it"
    )


def _read(path: Path) -> Holder | None:
    try:
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, json.JSONDecodeError, TypeError):
        return None


def _birth(pid: int) -> str | None:
    """Return the start time of a process of this host, or None if it does not exist."""
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
