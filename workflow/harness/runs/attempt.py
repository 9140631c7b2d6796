"""One try of a run: its lock held, its log kept, its end told."""

import logging
import os
import traceback

from harness.errors import HarnessError
from harness.plan.grid import Run
from harness.plan.plan import Plan
from harness.runs import slurm
from harness.runs.folder import RunFolder
from harness.runs.lock import run_lock
from harness.runs.record import Result
from harness.runs.stop import InterruptedRunError, StopRequest

FAILED = "FAILED "
"""Start of the last line of a try's log when it ended with an error."""


def finish(plan: Plan, run: Run, threads: int, stop: StopRequest) -> Result:
    """Return the record of ``run``; unless it is there, the run is made now, or gone on with.

    Raises:
        InterruptedRunError: ``stop`` was asked for.
        HarnessError: somebody else trains the run, or it failed; its log holds the whole story.
    """
    folder = RunFolder(plan.run_folder(run))
    result = folder.result()
    if result is not None:
        return result
    with run_lock(folder.path):
        return folder.result() or _attempt(plan, run, folder, threads, stop)


def _attempt(plan: Plan, run: Run, folder: RunFolder, threads: int, stop: StopRequest) -> Result:
    """Execute the run with a log of its own; the log's last line says how it ended."""
    path = folder.next_attempt()
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        from harness.runs.execute import execute

        return execute(plan, run, threads, stop)
    except BaseException as error:
        with path.open("a", encoding="utf-8") as stream:
            stream.write(traceback.format_exc())
            stream.write(f"{FAILED}{type(error).__name__}: {' '.join(str(error).split())}\n")
        if isinstance(error, Exception) and not isinstance(error, (HarnessError, OSError)):
            raise HarnessError(f"{type(error).__name__}: {error} (the whole story: {path})") from error
        raise
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


def end_of_time(error: InterruptedRunError, stop: StopRequest) -> InterruptedRunError:
    """Put the SLURM job back into the queue if its time ran out, and return the error that says so.

    A job that came no further is not put back: it would come no further for ever.
    """
    if not (stop.out_of_time and error.advanced and slurm.requeue()):
        return error
    return InterruptedRunError(f"{error}; SLURM job {os.environ['SLURM_JOB_ID']} is in the queue again")
