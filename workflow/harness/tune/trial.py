"""One trial: the trainings of some arguments, as runs are trained, on the selection rows alone."""

import gc
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from harness.core.loop import SELECTION, Evaluation, Training
from harness.core.streams import stream_seed
from harness.core.trainer import Trainer
from harness.methods.interface import Passes
from harness.plan.cost import forward_equivalents, training_passes
from harness.plan.grid import Cell
from harness.plan.plan import Plan
from harness.runs.device import next_smaller
from harness.runs.prepare import prepare

log = logging.getLogger(__name__)


class NoScoreError(Exception):
    """The ranking metric is not defined at the end of a training."""


@dataclass
class Course:
    """What a trial found and spent; JSON as it stands."""

    scores: list[float | None] = field(default_factory=list)
    """Of each evaluation: the mean of the trainings so far. None where the metric is not defined."""
    forward_passes: int = 0
    backward_passes: int = 0
    input_backward_passes: int = 0
    optimizer_steps: int = 0
    evaluation_passes: int = 0
    seconds: float = 0.0

    @property
    def passes(self) -> float:
        """Training in units of one forward pass."""
        counts = self.forward_passes, self.backward_passes, self.input_backward_passes
        return forward_equivalents(Passes(*counts))

    def content(self, reason: str = "") -> dict[str, Any]:
        """Return it as JSON, with why the trial failed if it did."""
        return {**asdict(self), "passes": self.passes, "reason": reason}


Told = Callable[[Course, bool], None]
"""Called after each evaluation with the course as it stands, and whether it was the last one; may raise."""


def declared_passes(cells: list[Cell], seeds: int) -> float:
    """Return what a whole trial costs, by what the method declares."""
    costs = [training_passes(cell) for cell in cells]
    return seeds * sum(forward_equivalents(cost) for cost in costs if cost is not None)


def trial_seed(number: int, cell: Cell) -> int:
    """Return the seed of a trial's training: the same for all methods, and none that is reported."""
    return stream_seed(number, "tuning", cell.task_name, cell.model_name)


def run_trial(
    plan: Plan, cells: list[Cell], seeds: int, course: Course, told: Told, check: Callable[[], None]
) -> float:
    """Train each cell with each seed; return the mean score on the selection rows.

    ``course`` is filled as the trial goes, so that it tells what was spent however the trial ends.

    Raises:
        DivergenceError: a loss or a logit is not finite.
        NoScoreError: a training ends without a score.
    """
    parts = [(cell, number) for number in range(seeds) for cell in cells]
    done: list[float] = []
    for cell, number in parts:
        teller = _Teller(done, len(parts), course, told)
        done.append(_train(plan, cell, trial_seed(number, cell), course, teller, check))
    return sum(done) / len(done)


@dataclass
class _Teller:
    """Turns the evaluations of one training into those of the trial."""

    done: list[float]
    parts: int
    course: Course
    told: Told

    def tell(self, score: float | None, last: bool) -> None:
        mean = None if score is None else (sum(self.done) + score) / (len(self.done) + 1)
        self.course.scores.append(mean)
        self.told(self.course, last and len(self.done) == self.parts - 1)


def _train(
    plan: Plan, cell: Cell, seed: int, course: Course, teller: _Teller, check: Callable[[], None]
) -> float:
    """Train one cell, on fewer examples at a time where memory runs out, as runs do."""
    size, told = plan.experiment.micro_batch, len(course.scores)
    while True:
        try:
            return _train_whole(plan, cell, seed, course, teller, check, size)
        except torch.OutOfMemoryError:
            size = next_smaller(size, cell.protocol.batch_size)
            del course.scores[told:]
        log.warning("%s: out of memory; goes on with %d examples at a time", cell.name, size)
        gc.collect()
        torch.cuda.empty_cache()


def _train_whole(
    plan: Plan,
    cell: Cell,
    seed: int,
    course: Course,
    teller: _Teller,
    check: Callable[[], None],
    micro_batch: int | None,
) -> float:
    """Train one cell from its beginning; return its score by the protocol's selection rule."""
    protocol = cell.protocol.model_copy(update={"record_report_curve": False})
    ready = prepare(plan, cell, seed, report=False)
    ready.encoder.micro_batch = micro_batch if micro_batch and micro_batch < protocol.batch_size else None
    method = type(cell.method)(cell.method.arguments)
    trainer = Trainer(ready.encoder, method, cell.task, protocol, ready.streams, ready.data, check)
    before = asdict(course)

    def on_evaluation(_: Evaluation) -> None:
        _add(course, before, trainer)
        teller.tell(_score(trainer.record, cell), trainer.step == trainer.batches)

    try:
        trainer.run(lambda _: None, on_evaluation)
    finally:
        _add(course, before, trainer)
    score = _score(trainer.record, cell)
    if score is None:
        raise NoScoreError(f"{cell.task.rank} is not defined on the selection rows of {cell.task_name}")
    return score


def _score(training: Training, cell: Cell) -> float | None:
    """Return the score of the weights that the selection rule takes, None where it is not defined."""
    scores = [e.metrics.get(cell.task.rank) for e in training.evaluations if e.split == SELECTION]
    if cell.protocol.selection == "best-on-selection":
        return max((score for score in scores if score is not None), default=None)
    return scores[-1]


def _add(course: Course, before: dict[str, Any], trainer: Trainer) -> None:
    """Bring the course to what was spent before this training and in it."""
    meter, training = trainer.encoder.meter, trainer.record
    course.forward_passes = before["forward_passes"] + meter.forward
    course.backward_passes = before["backward_passes"] + meter.backward
    course.input_backward_passes = before["input_backward_passes"] + meter.input_backward
    course.optimizer_steps = before["optimizer_steps"] + meter.optimizer_steps
    course.evaluation_passes = before["evaluation_passes"] + training.evaluation_passes
    course.seconds = round(before["seconds"] + training.train_seconds + training.evaluation_seconds, 3)
