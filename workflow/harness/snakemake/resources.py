"""Time and memory of the jobs of a plan: from past runs if there are any, otherwise from the plan."""

import math
from collections.abc import Callable, Iterable
from functools import cached_property

from harness.plan.cost import cost_of, trial_cost
from harness.plan.grid import Cell
from harness.plan.plan import Plan
from harness.plan.study import Study
from harness.runs.history import Rates, hours_of, rates

START_MINUTES = 10
"""Imports, weights and token ids from a busy file system, and the final evaluation."""
MARGIN = 1.5
"""Factor by which a run may be slower than estimated before its job is stopped and resumed in another."""
UNKNOWN_MINUTES = 240
"""For a run of unknown cost and speed."""
BASE_MB = 4000
"""Python, torch, the context of a GPU, and Snakemake."""
COPIES = 6
"""Copies of the parameters in memory: weights, gradient, two moments, the best weights, a checkpoint."""
VOCABULARY = 50_000
"""Words in the largest embedding of most supported models."""


class Resources:
    """The requests of the jobs of a plan. Each further attempt of a job requests as much again."""

    def __init__(self, plan: Plan, time_limit: Callable[[], int | None] = lambda: None) -> None:
        """``time_limit`` returns the time limit of a job in minutes; a longer run resumes in the next job."""
        self.plan = plan
        self._query_limit = time_limit

    @cached_property
    def _rates(self) -> Rates:
        return rates(self.plan.results)

    @cached_property
    def _limit(self) -> int | None:
        return self._query_limit()

    def minutes(self, cells: Iterable[Cell], attempt: int = 1) -> int:
        """Return the minutes of a job that trains one run of each of ``cells``."""
        return self._request(sum(self._needed(cell) for cell in cells), attempt)

    def study_minutes(self, study: Study, attempt: int = 1) -> int:
        """Return the minutes of a worker of a study."""
        tuning = study.tuning
        if tuning.kind == "seconds":
            return self._request(tuning.amount / 60 / tuning.workers, attempt)
        trial = tuning.seeds * sum(self._needed(cell) for cell in study.cells)
        if tuning.kind == "trials":
            return self._request(tuning.amount * trial / tuning.workers, attempt)
        per_trial = trial_cost(study.cells, tuning.seeds)
        trials = tuning.amount / per_trial if per_trial else 1.0
        return self._request(trials * trial / tuning.workers, attempt)

    def _needed(self, cell: Cell) -> float:
        hours = self.hours(cell)
        return UNKNOWN_MINUTES if hours is None else MARGIN * 60 * hours

    def _request(self, needed: float, attempt: int) -> int:
        minutes = math.ceil((START_MINUTES + needed) * attempt)
        return minutes if self._limit is None else min(minutes, self._limit)

    def memory_mb(self, cells: Iterable[Cell], attempt: int = 1) -> int:
        """Return the main memory of a job of these cells in MB."""
        return attempt * max(map(_memory_mb, cells))

    def hours(self, cell: Cell) -> float | None:
        """Return the hours of one run of ``cell``, or None if its cost is unknown."""
        hours = hours_of(cell, self._rates)
        return cost_of(cell, self.plan.experiment.gpu_tflops).gpu_hours if hours is None else hours


def _memory_mb(cell: Cell) -> int:
    width = cell.model.width or 1024
    parameters = (cell.model.encoder_parameters or 0) + VOCABULARY * width
    return math.ceil((BASE_MB + COPIES * 4 * parameters / 2**20) / 1000) * 1000
