"""Several runs in one process, each with its own folder, lock, log and failure."""

import gc
from collections.abc import Iterator

from harness.config.result import Result
from harness.plan.grid import Run
from harness.plan.plan import Plan
from harness.runs.folder import RunFolder
from harness.runs.run_or_resume import run_or_resume
from harness.runs.stop import InterruptedRunError, StopRequest
from harness.util.errors import HarnessError


def run_many(
    plan: Plan, runs: list[Run], threads: int, stop: StopRequest
) -> Iterator[tuple[Run, Result | Exception]]:
    """Yield every run with its result, or with the error that left it without one.

    Runs with the fewest attempts come first: a run that crashes the process delays no other run twice.

    Raises:
        InterruptedRunError: ``stop`` was requested.
        HarnessError: a failed run left the GPU unusable; the other runs need a new process.
    """
    done = 0
    for run in sorted(runs, key=lambda r: len(RunFolder(plan.run_folder(r)).attempt_logs())):
        try:
            result = run_or_resume(plan, run, threads, stop)
        except InterruptedRunError as error:
            raise InterruptedRunError(str(error), advanced=error.advanced or done > 0) from None
        except (HarnessError, OSError) as error:
            yield run, error
            _check_gpu(run)
        else:
            done += 1
            yield run, result
        _free_memory()


def _check_gpu(run: Run) -> None:
    from harness.runs.device import gpu_is_lost

    if gpu_is_lost():
        raise HarnessError(f"{run.name} left the GPU unusable; the other runs need a new process")


def _free_memory() -> None:
    import torch

    gc.collect()
    torch.cuda.empty_cache()
