"""A request to stop, from SLURM, Snakemake or a person: the run finishes its batch and keeps its state.

SIGUSR1 says that time is running out (``sbatch --signal=USR1@120``); a SLURM job then runs again.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from harness.errors import HarnessError

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
SAME_SECONDS = 1.0
"""Signals so close together are one request: terminals and schedulers send several."""


class InterruptedRunError(HarnessError):
    """A run was asked to stop, and stopped; ``advanced`` tells whether it came further than it began."""

    def __init__(self, message: str, advanced: bool = False) -> None:
        super().__init__(message)
        self.advanced = advanced


class StopRequest:
    """True once a signal came; a second one, later, ends the process at once."""

    def __init__(self) -> None:
        self._since: float | None = None
        self.out_of_time = False

    def __bool__(self) -> bool:
        return self._since is not None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals for a while (in the main thread)."""
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
