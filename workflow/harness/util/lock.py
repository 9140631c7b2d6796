"""The lock of a folder: one holder at a time, across processes and machines. Runs, studies and stores use it.

A lock is a file that is created exclusively, which is atomic on local and on network file systems and needs
neither hard links nor ``flock``. ``harness.util.holder`` decides whether its holder is alive.
"""

import json
import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from harness.util.errors import HarnessError
from harness.util.holder import HEARTBEAT_SECONDS, STALE_SECONDS, Holder, age, live, read_holder
from harness.util.paths import display_path

LOCK = "lock"
POLL_SECONDS, LONGEST_POLL_SECONDS = 0.02, 1.0
WRITING_SECONDS = 1.0
"""How long a new lock file may be empty: its holder creates it and then writes its name."""


class LostLockError(HarnessError):
    """Another process has taken the lock of this one, because it did not respond."""


class Lock:
    """A lock that this process holds."""

    def __init__(self, path: Path, holder: Holder) -> None:
        self.path, self.holder = path, holder

    def check(self) -> None:
        """Return if this process still holds the lock; call it before anything in the folder is written.

        Raises:
            LostLockError: it does not. A suspended process, or one whose file system did not respond for
                long, counts as dead for other hosts.
        """
        current = read_holder(self.path)
        if current != self.holder:
            taken = f"{current.text} has taken it" if current else "its file is gone"
            folder = display_path(self.path.parent)
            raise LostLockError(f"{folder}: this process lost its lock ({taken}); it wrote nothing since")

    def _beat(self, stop: threading.Event) -> None:
        while not stop.wait(HEARTBEAT_SECONDS):
            try:
                if read_holder(self.path) == self.holder:
                    os.utime(self.path)
            except OSError:  # a network file system's passing error: the next beat may succeed
                continue


@contextmanager
def hold_lock(folder: Path, name: str = LOCK, wait_seconds: float = 0.0) -> Iterator[Lock]:
    """Hold the lock ``name`` of ``folder``; wait at most ``wait_seconds`` for another live holder.

    Raises:
        HarnessError: another live process holds the lock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = Lock(folder / name, Holder.this_process())
    _acquire(lock, time.monotonic() + wait_seconds)
    stop = threading.Event()
    heartbeat = threading.Thread(target=lock._beat, args=(stop,), daemon=True)
    heartbeat.start()
    try:
        yield lock
    finally:
        stop.set()
        heartbeat.join()
        if read_holder(lock.path) == lock.holder:
            lock.path.unlink(missing_ok=True)


def holders_of(folders: Iterable[Path], name: str = LOCK) -> dict[Path, Holder | None]:
    """Return the folders whose lock ``name`` has a live holder; the holder is None if its file is damaged."""
    return {path.parent: read_holder(path) for path in live(folder / name for folder in folders)}


def is_held(folder: Path, name: str = LOCK, observe: bool = True) -> bool:
    """Return whether a live process holds the lock ``name`` of ``folder`` (``observe``: see ``live``)."""
    return bool(live([folder / name], observe))


def _acquire(lock: Lock, deadline: float) -> None:
    pause, contests = POLL_SECONDS, 0
    while not _create(lock.path, lock.holder):
        content = _content(lock.path)
        if live([lock.path]):
            if time.monotonic() >= deadline:
                raise HarnessError(_in_use(lock.path))
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_POLL_SECONDS)
            continue
        contests += 1
        if contests > 3 and time.monotonic() >= deadline:
            raise HarnessError(f"{display_path(lock.path)}: other processes are taking the lock; try again")
        _remove_dead(lock.path, lock.holder, content)


def _create(path: Path, holder: Holder) -> bool:
    """Create the lock file; return whether there was none."""
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(holder)))
    except FileExistsError:
        return False
    return True


def _content(path: Path) -> str:
    """Return the text of a lock file, empty if it is missing; wait for one that is being written."""
    deadline = time.monotonic() + WRITING_SECONDS
    while True:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""
        if text or time.monotonic() > deadline:
            return text
        time.sleep(POLL_SECONDS)


def _remove_dead(path: Path, claimant: Holder, content: str) -> None:
    """Remove a lock whose file has the ``content`` of a dead holder.

    A guard admits one process at a time: two at once could remove each other's new lock.
    """
    guard = path.with_name(f"{path.name}.removal")
    if not _create(guard, claimant):
        time.sleep(POLL_SECONDS)
        if age(guard) > STALE_SECONDS:  # its creator died before it removed the guard
            guard.unlink(missing_ok=True)
        return
    try:
        if _content(path) == content:
            path.unlink(missing_ok=True)
    finally:
        guard.unlink(missing_ok=True)


def _in_use(path: Path) -> str:
    holder = read_holder(path)
    name = holder.text if holder else "another process"
    return f"{display_path(path.parent)} is in use by {name}; wait for it, or stop it"
