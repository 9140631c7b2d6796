"""The holder of a lock, and whether it is alive.

A process can be queried directly only within one PID namespace of one boot of a kernel: containers share a
host name, and hosts reuse process ids. Otherwise SLURM reports whether the holder's job runs on its node
(``squeue``). If neither is known, the holder is alive while its lock file changes: its heartbeat sets the
modification time. Ages are measured by the clock of the file system, not by that of this host, and a file
whose age says that the holder is dead is observed before the holder counts as dead.
"""

import json
import logging
import os
import socket
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.util import slurm
from harness.util.paths import display_path

log = logging.getLogger(__name__)
HEARTBEAT_SECONDS = 15.0
STALE_SECONDS = 120.0
WATCH_SECONDS = 3 * HEARTBEAT_SECONDS
"""How long a lock with an old heartbeat is observed: clocks may differ between hosts and the file server."""
POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock."""

    host: str
    pid: int
    born: str | None
    """Start time of the process, because process ids are reused."""
    slurm_job: str | None = None
    slurm_node: str | None = None
    machine: str | None = None
    """Boot and PID namespace in which ``pid`` is valid."""

    @classmethod
    def this_process(cls) -> "Holder":
        """Return the holder that describes this process."""
        return cls(
            host=socket.gethostname(),
            pid=os.getpid(),
            born=_process(os.getpid())[1],
            slurm_job=os.environ.get("SLURM_JOB_ID"),
            slurm_node=os.environ.get("SLURMD_NODENAME"),
            machine=_machine(),
        )

    @property
    def text(self) -> str:
        """``process 17 on node3, SLURM job 4``."""
        job = f", SLURM job {self.slurm_job}" if self.slurm_job else ""
        return f"process {self.pid} on {self.host}{job}"

    def is_running(self) -> bool | None:
        """Return whether the process or its job exists, or None if this host cannot find out."""
        if self.machine is not None and self.machine == _machine():
            exists, born = _process(self.pid)
            if exists is not None:
                return exists and born == self.born
        return slurm.works(self.slurm_job, self.slurm_node) if self.slurm_job else None


def read_holder(path: Path) -> Holder | None:
    """Return the holder in a lock file, or None if the file is missing or holds none."""
    try:
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def live(paths: Iterable[Path], observe: bool = True) -> set[Path]:
    """Return the lock files whose holders are alive.

    Unclear ones are observed together. A report does not ``observe`` them: it counts them as dead at once.
    """
    alive, unclear = set(), {}
    for path in paths:
        holder, stamp = read_holder(path), _stamp(path)
        running = holder.is_running() if holder else None
        if stamp is None or running is False:
            continue
        if running or abs(_now(path.parent) - stamp / 1e9) < STALE_SECONDS:
            alive.add(path)
        else:
            unclear[path] = stamp
    if not observe:
        return alive
    for path in unclear:
        log.warning("%s: observing for %.0f s whether its holder is alive", display_path(path), WATCH_SECONDS)
    deadline = time.monotonic() + WATCH_SECONDS
    while unclear and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        changed = {path: _stamp(path) for path, stamp in unclear.items() if _stamp(path) != stamp}
        alive |= {path for path, stamp in changed.items() if stamp is not None}
        unclear = {path: stamp for path, stamp in unclear.items() if path not in changed}
    return alive


def age(path: Path) -> float:
    """Return the seconds since ``path`` was modified, by its file system's clock; 0 if it is missing."""
    stamp = _stamp(path)
    return 0.0 if stamp is None else _now(path.parent) - stamp / 1e9


def _stamp(path: Path) -> int | None:
    """Return the modification time in nanoseconds; None without the file.

    Opening the file makes a network file system query its server.
    """
    try:
        with path.open("rb") as stream:
            return os.fstat(stream.fileno()).st_mtime_ns
    except FileNotFoundError:
        return None


def _now(folder: Path) -> float:
    """Return the time of the file system that ``folder`` is on, in seconds."""
    try:
        with tempfile.TemporaryFile(dir=folder) as stream:
            return os.fstat(stream.fileno()).st_mtime
    except OSError:  # a folder of someone else's, or a full disk
        return time.time()


def _machine() -> str | None:
    """Return the boot and the PID namespace of this process, or the host name on a system without /proc."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None if Path("/proc/self").exists() else socket.gethostname()


def _process(pid: int) -> tuple[bool | None, str | None]:
    """Return whether a process exists, and its start time; None is unknown.

    Another user's process may be hidden in /proc (mount option ``hidepid``); a signal to it is refused.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return fields[0] != "Z", fields[19]
    except OSError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False, None
    except PermissionError:
        return None, None
    return (None if Path("/proc/self").exists() else True), None
