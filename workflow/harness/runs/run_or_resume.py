"""A run, made once: its result if it exists, otherwise trained, or resumed from its newest checkpoint."""

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from harness.config.result import Result
from harness.plan.grid import Run
from harness.plan.plan import Plan
from harness.runs.folder import RunFolder
from harness.runs.stop import StopRequest
from harness.util.errors import HarnessError
from harness.util.lock import hold_lock

FAILED = "FAILED "
"""Start of the last line of an attempt's log when it ended with an error."""


def run_or_resume(plan: Plan, run: Run, threads: int, stop: StopRequest | None = None) -> Result:
    """Return the result of ``run``, training or resuming it first if needed.

    A run that diverges has a result. Any other failure is raised and leaves none.

    Raises:
        InterruptedRunError: ``stop`` was requested; what was done is in a checkpoint.
        HarnessError: another process trains the run, or it failed; its log has the details.
    """
    folder = RunFolder(plan.run_folder(run))
    if (result := folder.result()) is not None:
        return result
    with hold_lock(folder.path) as lock:
        if (result := folder.result()) is not None:
            return result
        with attempt_log(folder):
            from harness.runs.session import fit_in_memory  # both import torch
            from harness.runs.training import train_and_record

            train = partial(train_and_record, plan, run, folder, lock, threads, stop)
            return fit_in_memory(train, plan.experiment.micro_batch, run.name)


@contextmanager
def attempt_log(folder: RunFolder) -> Iterator[None]:
    """Log to a file of the attempt; its last line says how the attempt failed, if it did.

    Raises:
        HarnessError: an unexpected error, with the path of the log that has its traceback.
    """
    path = folder.next_attempt()
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        yield
    except BaseException as error:
        with path.open("a", encoding="utf-8") as stream:
            stream.write(traceback.format_exc())
            stream.write(f"{FAILED}{type(error).__name__}: {' '.join(str(error).split())}\n")
        if isinstance(error, Exception) and not isinstance(error, (HarnessError, OSError)):
            raise HarnessError(f"{type(error).__name__}: {error} (details: {path})") from error
        raise
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
