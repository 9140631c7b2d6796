"""The storage of a study's trials: a journal file, or a database."""

import os
import warnings
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from harness.plan.plan import Plan
from harness.plan.study import Study
from harness.util.errors import HarnessError
from harness.util.uris import check_reachable, display_uri

VARIABLE = "OPTUNA_STORAGE"


def study_folder(plan: Plan, study: Study) -> Path:
    """Return the folder with the journal, locks and stamps of a study. No rule declares it as an output."""
    return plan.folder / "studies" / study.folder


def open_storage(plan: Plan, study: Study) -> BaseStorage:
    """Return the storage, created if it is missing; OPTUNA_STORAGE overrides the experiment's URL.

    Raises:
        HarnessError: the storage cannot be reached or written.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    url = os.environ.get(VARIABLE) or study.tuning.storage
    return _journal(study_folder(plan, study)) if url is None else _database(url)


def _journal(folder: Path) -> BaseStorage:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "journal.log"
    lock = JournalFileOpenLock(str(path))
    if path.is_file():
        _drop_torn_line(path, lock)
    return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))


def _drop_torn_line(path: Path, lock: JournalFileOpenLock) -> None:
    """Remove an incomplete last line, left by a full disk or a crash, before lines are appended to it."""
    lock.acquire()
    try:
        content = path.read_bytes()
        complete = content.rfind(b"\n") + 1
        if complete < len(content):
            os.truncate(path, complete)
    finally:
        lock.release()


def _database(url: str) -> BaseStorage:
    from sqlalchemy.exc import SQLAlchemyError

    check_reachable(url, "tuning.storage")
    try:
        return RDBStorage(url)
    except (SQLAlchemyError, ImportError, ValueError, optuna.exceptions.OptunaError) as error:
        reason = str(error).splitlines()[0]
        raise HarnessError(f"tuning.storage {display_uri(url)} cannot be used: {reason}") from None
