"""The lock: one holder on any file system, host and container; who is alive; what a lost lock stops."""

import errno
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from harness.runs.failures import NO_ERROR_LOGGED, Unfinished, unfinished
from harness.runs.folder import RunFolder
from harness.util import holder as liveness
from harness.util import lock
from harness.util.errors import HarnessError
from harness.util.holder import Holder, live

NO_PROCESS = 2**22 + 5
"""Larger than any process id."""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(liveness, "WATCH_SECONDS", 1.0)
    monkeypatch.setattr(liveness, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(lock, "WRITING_SECONDS", 0.1)
    return tmp_path / lock.LOCK


def leave(path: Path, holder: Holder, seconds: float = 0.0) -> None:
    """Write the lock of ``holder``, as old as ``seconds``."""
    path.write_text(json.dumps(asdict(holder)))
    shift(path, seconds)


def shift(path: Path, seconds: float) -> None:
    """Set the modification time of ``path`` to ``seconds`` ago."""
    os.utime(path, (time.time() - seconds,) * 2)


def elsewhere(**changes: object) -> Holder:
    return replace(Holder("elsewhere", 1, "1", machine="another boot"), **changes)  # type: ignore[arg-type]


@contextmanager
def repeated(action: Callable[[], None]) -> Iterator[None]:
    """Repeat ``action`` every 0.1 s in the background."""
    stop = threading.Event()

    def loop() -> None:
        while not stop.wait(0.1):
            action()

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_it_needs_neither_hard_links_nor_flock(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(fcntl, "flock", refuse)
    in_use = pytest.raises(HarnessError, match=f"process {os.getpid()}")
    with lock.hold_lock(path.parent), in_use, lock.hold_lock(path.parent):
        pass
    leave(path, replace(Holder.this_process(), pid=NO_PROCESS))
    with lock.hold_lock(path.parent):
        assert path.exists()
    assert list(path.parent.iterdir()) == []


def test_a_process_of_this_machine_is_queried(path: Path) -> None:
    this = Holder.this_process()
    leave(path, this, seconds=1e6)
    assert live([path]) == {path}
    for dead in (replace(this, pid=NO_PROCESS), replace(this, born="1")):
        leave(path, dead)
        assert live([path]) == set()


def test_a_container_that_shares_the_host_name_lives_by_its_heartbeat(path: Path) -> None:
    leave(path, replace(Holder.this_process(), pid=NO_PROCESS, machine="same boot, other PID namespace"))
    with pytest.raises(HarnessError, match="is in use by process"), lock.hold_lock(path.parent):
        pass
    shift(path, 2 * lock.STALE_SECONDS)
    with lock.hold_lock(path.parent):
        pass


def test_a_process_that_may_not_be_seen_lives_by_its_heartbeat(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With /proc mounted ``hidepid``, another user's process is missing there; a signal is refused."""

    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refused)
    leave(path, replace(Holder.this_process(), pid=NO_PROCESS))
    assert live([path]) == {path}
    shift(path, 2 * lock.STALE_SECONDS)
    assert live([path]) == set()


@pytest.mark.parametrize("seconds", [180.0, 1e6, -3600.0])
def test_a_lock_that_changes_is_alive_whatever_the_clocks_say(path: Path, seconds: float) -> None:
    leave(path, elsewhere(), seconds)
    with repeated(lambda: shift(path, seconds)):
        assert live([path]) == {path}


@pytest.mark.parametrize("seconds", [180.0, -3600.0])
def test_a_lock_that_does_not_change_is_dead_whatever_the_clocks_say(path: Path, seconds: float) -> None:
    leave(path, elsewhere(), seconds)
    assert live([path]) == set()


def test_unclear_locks_are_observed_together(path: Path) -> None:
    paths = [path.with_name(f"lock{number}") for number in range(20)]
    for each in paths:
        leave(each, elsewhere(), seconds=180)
    start = time.monotonic()
    assert live(paths) == set()
    assert time.monotonic() - start < 10


def test_a_report_waits_for_no_unclear_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of dead hosts are reported as failed at once, however many they are."""
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("a report observes a lock"))
    for number in range(3):
        folder = RunFolder(tmp_path / f"seed{number}")
        folder.attempts.mkdir(parents=True)
        (folder.attempts / "1.log").touch()
        leave(folder.path / lock.LOCK, elsewhere(), seconds=180)
        assert unfinished(folder) == Unfinished("failed", NO_ERROR_LOGGED)
        shift(folder.path / lock.LOCK, seconds=1)
        assert unfinished(folder) is None


def test_a_file_that_is_still_empty_is_a_lock(path: Path) -> None:
    path.touch()
    with pytest.raises(HarnessError, match="in use by another process"), lock.hold_lock(path.parent):
        pass
    shift(path, 2 * lock.STALE_SECONDS)
    with lock.hold_lock(path.parent):
        pass


def test_the_heartbeat_survives_a_passing_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.05)
    utime, calls = os.utime, []

    def passing(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) == 2:
            raise OSError(errno.ESTALE, "Stale file handle")
        utime(*arguments)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "utime", passing)
    with lock.hold_lock(path.parent):
        deadline = time.monotonic() + 10
        while len(calls) < 4 and time.monotonic() < deadline:
            time.sleep(0.05)
    assert len(calls) >= 4


def test_a_lost_lock_is_reported_and_left_to_its_new_holder(path: Path) -> None:
    with lock.hold_lock(path.parent) as held:
        held.check()
        leave(path, elsewhere(pid=77))
        with pytest.raises(lock.LostLockError, match="process 77 on elsewhere has taken it"):
            held.check()
    assert path.exists()
    path.unlink()
    with lock.hold_lock(path.parent) as held:
        path.unlink()
        with pytest.raises(lock.LostLockError, match="its file is gone"):
            held.check()


def test_a_dead_holders_lock_is_removed_once_and_never_its_followers(path: Path) -> None:
    this, dead = Holder.this_process(), elsewhere()
    content = json.dumps(asdict(dead))
    leave(path, elsewhere(pid=3))  # a faster process has taken the lock
    lock._remove_dead(path, this, content)
    assert path.exists()
    leave(path, dead)
    guard = path.with_name("lock.removal")
    guard.touch()  # another process is removing it
    lock._remove_dead(path, this, content)
    assert path.exists()
    shift(guard, 2 * lock.STALE_SECONDS)  # which has died
    lock._remove_dead(path, this, content)
    lock._remove_dead(path, this, content)
    assert list(path.parent.iterdir()) == []


def test_many_threads_hold_it_one_after_the_other(path: Path) -> None:
    inside, most = [0], [0]

    def work() -> None:
        with lock.hold_lock(path.parent, wait_seconds=60):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.01)
            inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] and not path.exists()
