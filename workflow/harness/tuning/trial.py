"""One trial: arguments are trained as runs are, and scored on the selection rows only."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from harness.config.result import Evaluation
from harness.engine.rng import stream_seed
from harness.engine.splits import SELECTION
from harness.engine.trainer import Trainer, Training
from harness.plan.grid import Cell
from harness.plan.plan import Plan
from harness.runs.session import fit_in_memory, open_session
from harness.runs.stop import StopRequest


class NoScoreError(Exception):
    """The primary metric is undefined at the end of a training."""


@dataclass
class TrialProgress:
    """What a trial has found and spent so far."""

    scores: list[float | None] = field(default_factory=list)
    """Per evaluation, the mean of the trainings so far; None where the metric is undefined."""
    forward_passes: int = 0
    backward_passes: int = 0
    input_backward_passes: int = 0
    optimizer_steps: int = 0
    forward_equivalents: int = 0
    """Training, in forward passes of one example."""
    evaluation_examples: int = 0
    seconds: float = 0.0

    def content(self, reason: str = "") -> dict[str, Any]:
        """Return the fields of a ``TrialRecord`` that come from training."""
        return {**asdict(self), "reason": reason}


OnEvaluation = Callable[[bool], None]
"""Called after each evaluation of a trial, with whether it was the last one; may raise."""


def trial_seed(number: int, cell: Cell) -> int:
    """Return the seed of a trial's training: the same for all methods, and none that is reported."""
    return stream_seed(number, "tuning", cell.task_name, cell.model_name)


def run_trial(
    plan: Plan,
    cells: list[Cell],
    seeds: int,
    progress: TrialProgress,
    on_evaluation: OnEvaluation,
    stop: StopRequest | None = None,
) -> float:
    """Train each cell with each seed; return the mean score on the selection rows.

    ``progress`` is filled along the way, so that it says what was spent however the trial ends.

    Raises:
        DivergenceError: a loss or a logit is not finite.
        NoScoreError: a training ends without a score.
        Interrupted: ``stop`` was requested.
    """
    trainings = [(cell, number) for number in range(seeds) for cell in cells]
    scores: list[float] = []
    for cell, number in trainings:
        part = _Part(progress, tuple(scores), len(scores) == len(trainings) - 1, on_evaluation)
        train = partial(_train, plan, cell, trial_seed(number, cell), part, stop)
        scores.append(fit_in_memory(train, plan.experiment.micro_batch, cell.name))
    return sum(scores) / len(scores)


class _Part:
    """One training of a trial: turns its evaluations and costs into those of the trial."""

    def __init__(
        self, progress: TrialProgress, scores: tuple[float, ...], is_last: bool, on_evaluation: OnEvaluation
    ) -> None:
        self.progress = progress
        self._scores, self._is_last, self._on_evaluation = scores, is_last, on_evaluation
        self._before = asdict(progress)

    def begin(self) -> None:
        """Start the training, or start it again after memory ran out.

        Its passes are counted once: a budget must not depend on the memory of a device. The time is spent.
        """
        del self.progress.scores[len(self._before["scores"]) :]
        self._before["seconds"] = self.progress.seconds

    def add_score(self, score: float | None, last: bool) -> None:
        """Add an evaluation of this training."""
        mean = None if score is None else (sum(self._scores) + score) / (len(self._scores) + 1)
        self.progress.scores.append(mean)
        self._on_evaluation(last and self._is_last)

    def count(self, trainer: Trainer) -> None:
        """Set the costs to what was spent before this training and in it."""
        meter, training, before = trainer.encoder.meter, trainer.record, self._before
        progress = self.progress
        progress.forward_passes = before["forward_passes"] + meter.forward
        progress.backward_passes = before["backward_passes"] + meter.backward
        progress.input_backward_passes = before["input_backward_passes"] + meter.input_backward
        progress.optimizer_steps = before["optimizer_steps"] + meter.optimizer_steps
        progress.forward_equivalents = before["forward_equivalents"] + meter.forward_equivalents
        progress.evaluation_examples = before["evaluation_examples"] + training.evaluation_examples
        seconds = training.train_seconds + training.evaluation_seconds
        progress.seconds = round(before["seconds"] + seconds, 3)


def _train(
    plan: Plan, cell: Cell, seed: int, part: _Part, stop: StopRequest | None, micro_batch: int | None
) -> float:
    """Train one cell from its beginning; return its score by the protocol's selection rule."""
    part.begin()
    protocol = cell.protocol.model_copy(update={"record_report_curve": False})
    blind = replace(cell, protocol=protocol)
    session = open_session(plan, blind, seed, micro_batch=micro_batch, stop=stop, report=False)
    trainer = session.trainer

    def on_evaluation(_: Evaluation) -> None:
        part.count(trainer)
        part.add_score(_score(trainer.record, cell), trainer.step == trainer.batches)

    try:
        with session.out_of_memory_as_smaller_batch():
            trainer.run(lambda _: None, on_evaluation)
    finally:
        part.count(trainer)
    score = _score(trainer.record, cell)
    if score is None:
        metric = cell.task.primary_metric
        raise NoScoreError(f"{metric} is undefined on the selection rows of {cell.task_name}")
    return score


def _score(training: Training, cell: Cell) -> float | None:
    """Return the score of the weights that the selection rule takes, None where it is undefined."""
    metric = cell.task.primary_metric
    scores = [e.metrics.get(metric) for e in training.evaluations if e.split == SELECTION]
    if cell.protocol.selection == "best-on-selection":
        return max((score for score in scores if score is not None), default=None)
    return scores[-1]
