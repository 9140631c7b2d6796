"""Stop requests from SLURM, Snakemake or a person: the run finishes its batch and writes a checkpoint.

SIGUSR1 means that the time limit is near (``sbatch --signal=USR1@120``); the SLURM job is then requeued.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from harness.util import slurm
from harness.util.errors import HarnessError

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
SAME_SECONDS = 1.0
"""Signals within this time count as one request, because terminals and schedulers send several."""


class InterruptedRunError(HarnessError):
    """A run was stopped on request; ``advanced`` is true if its progress is on disk."""

    def __init__(self, message: str, advanced: bool = False) -> None:
        super().__init__(message)
        self.advanced = advanced


class StopRequest:
    """True after the first signal. A second, later signal ends the process immediately."""

    def __init__(self) -> None:
        self._since: float | None = None
        self.out_of_time = False

    def __bool__(self) -> bool:
        return self._since is not None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle the signals while the context is open; for the main thread only."""
        outer = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in outer.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._since is None:
            self._since, self.out_of_time = now, number == signal.SIGUSR1
        elif now - self._since > SAME_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


@contextmanager
def stoppable() -> Iterator[StopRequest]:
    """Yield a stop request that signals set. If time ran out, requeue the SLURM job.

    A job whose progress is not on disk is not requeued, or it would loop forever.

    Raises:
        InterruptedRunError: the body raised it; the message says if the job was requeued.
    """
    stop = StopRequest()
    with stop.listening():
        try:
            yield stop
        except InterruptedRunError as error:
            if not (stop.out_of_time and error.advanced and slurm.requeue()):
                raise
            job = os.environ["SLURM_JOB_ID"]
            raise InterruptedRunError(f"{error}; SLURM job {job} was requeued") from None
