"""Several runs in one process, each with its own folder, lock, log and failure."""

import gc
from collections.abc import Iterator

from harness.errors import HarnessError
from harness.plan.grid import Run
from harness.plan.plan import Plan
from harness.runs.attempt import finish
from harness.runs.folder import RunFolder
from harness.runs.record import Result
from harness.runs.stop import InterruptedRunError, StopRequest


def finish_together(
    plan: Plan, runs: list[Run], threads: int, stop: StopRequest
) -> Iterator[tuple[Run, Result | Exception]]:
    """Yield every run with its record, or with the error that left it without one.

    Those that were tried least come first: a run that takes the whole process down delays no other twice.

    Raises:
        InterruptedRunError: ``stop`` was asked for.
        HarnessError: a failed run left the GPU unusable; a new process may go on.
    """
    made = 0
    for run in sorted(runs, key=lambda r: len(RunFolder(plan.run_folder(r)).attempt_logs())):
        try:
            result = finish(plan, run, threads, stop)
        except InterruptedRunError as error:
            raise InterruptedRunError(str(error), advanced=error.advanced or made > 0) from None
        except (HarnessError, OSError) as error:
            yield run, error
            _must_answer(run)
        else:
            made += 1
            yield run, result
        _give_memory_back()


def _must_answer(run: Run) -> None:
    from harness.runs.device import is_lost

    if is_lost():
        raise HarnessError(f"{run.name} left the GPU unusable; the other runs need a new process")


def _give_memory_back() -> None:
    import torch

    gc.collect()
    torch.cuda.empty_cache()
