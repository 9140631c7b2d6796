"""Time and memory that the job of a run asks for: from past runs where there are any, else from the plan."""

import math
from collections.abc import Callable, Iterable
from functools import cached_property

from harness.plan.cost import cost_of, forward_equivalents, training_passes
from harness.plan.grid import Cell
from harness.plan.plan import Plan
from harness.plan.study import Study
from harness.report.past import Rates, rates

START_MINUTES = 10
"""Imports, weights and token ids from a busy file system, and the last evaluation's table."""
ROOM = 1.5
"""By how much a run may be slower than the estimate before its job is stopped and goes on in another."""
UNKNOWN_MINUTES = 240
"""For a run of which neither cost nor speed is known."""
BASE_MB = 4000
"""Python, torch, a GPU's context, and Snakemake around them."""
COPIES = 6
"""Copies of the parameters in memory: weights, gradient, two moments, the best weights, a checkpoint."""
VOCABULARY = 50_000
"""Words in the largest embedding of a supported model, less in most."""


class Requests:
    """What the jobs of a plan ask for; each further attempt asks for as much again."""

    def __init__(self, plan: Plan, longest: Callable[[], int | None] = lambda: None) -> None:
        self.plan = plan
        self._ask_longest = longest

    @cached_property
    def _rates(self) -> Rates:
        return rates(self.plan.results)

    @cached_property
    def _longest(self) -> int | None:
        """Minutes that the partition gives at most; a run that needs more goes on in the next job."""
        return self._ask_longest()

    def minutes(self, cells: Iterable[Cell], attempt: int = 1) -> int:
        """Return the whole minutes that a job asks for which trains one run of each of ``cells``."""
        return self._asked(sum(self._needed(cell) for cell in cells), attempt)

    def search_minutes(self, study: Study, attempt: int = 1) -> int:
        """Return the whole minutes that a worker of a search asks for."""
        tuning = study.tuning
        if tuning.kind == "seconds":
            return self._asked(tuning.amount / 60 / tuning.workers, attempt)
        trial = tuning.seeds * sum(self._needed(cell) for cell in study.cells)
        if tuning.kind == "trials":
            return self._asked(tuning.amount * trial / tuning.workers, attempt)
        passes = [training_passes(cell) for cell in study.cells]
        worth = tuning.seeds * sum(forward_equivalents(p) for p in passes if p is not None)
        return self._asked(tuning.amount / (worth or tuning.amount) * trial / tuning.workers, attempt)

    def _needed(self, cell: Cell) -> float:
        hours = self.hours(cell)
        return UNKNOWN_MINUTES if hours is None else ROOM * 60 * hours

    def _asked(self, needed: float, attempt: int) -> int:
        asked = math.ceil((START_MINUTES + needed) * attempt)
        return asked if self._longest is None else min(asked, self._longest)

    def memory_mb(self, cells: Iterable[Cell], attempt: int = 1) -> int:
        """Return the MB of main memory that a job of these cells asks for."""
        return attempt * max(map(_memory_mb, cells))

    def hours(self, cell: Cell) -> float | None:
        """Return the hours of one run of ``cell``, None if nothing is known of its cost."""
        place, passes = (cell.task_name, cell.model_name), training_passes(cell)
        rate = self._rates.get((*place, cell.variant), self._rates.get(place))
        if rate is None or passes is None:
            return cost_of(cell, self.plan.experiment.gpu_tflops).gpu_hours
        return rate * forward_equivalents(passes) * cell.protocol.batch_size / 3600


def _memory_mb(cell: Cell) -> int:
    width = cell.model.width or 1024
    parameters = (cell.model.encoder_parameters or 0) + VOCABULARY * width
    return math.ceil((BASE_MB + COPIES * 4 * parameters / 2**20) / 1000) * 1000
