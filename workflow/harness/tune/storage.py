"""Where the trials of a search are kept: a journal file, or a database that its URL names."""

import os
import warnings
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from harness.errors import HarnessError
from harness.plan.plan import Plan
from harness.plan.study import Study
from harness.report.store import must_answer, shown_uri

VARIABLE = "OPTUNA_STORAGE"


def study_folder(plan: Plan, study: Study) -> Path:
    """Return the folder with the journal, locks and stamps of a study; no rule declares it as a whole."""
    return plan.folder / "studies" / study.folder


def open_storage(plan: Plan, study: Study) -> BaseStorage:
    """Return the storage, made now if need be; OPTUNA_STORAGE wins over the experiment's URL.

    Raises:
        HarnessError: it cannot be reached or written.
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
    """Cut off what a full disk or a crash left of a line: a line appended to it would spoil the journal."""
    lock.acquire()
    try:
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(path, whole)
    finally:
        lock.release()


def _database(url: str) -> BaseStorage:
    from sqlalchemy.exc import SQLAlchemyError

    must_answer(url, "tuning.storage")
    try:
        return RDBStorage(url)
    except (SQLAlchemyError, ImportError, ValueError, optuna.exceptions.OptunaError) as error:
        reason = str(error).splitlines()[0]
        raise HarnessError(f"tuning.storage {shown_uri(url)} cannot be used: {reason}") from None
