"""Live progress: a bar on a terminal, log lines elsewhere."""

import logging
import sys
import time

from tqdm import tqdm

from harness.config.result import Evaluation
from harness.engine.trainer import Trainer

log = logging.getLogger(__name__)
LINE_SECONDS = 30.0


class Progress:
    """Shows the position of one run, its speed and the remaining time."""

    def __init__(self, name: str, trainer: Trainer) -> None:
        self.name = name
        self.trainer = trainer
        self.metric = ""
        self.start = self.reported = time.monotonic()
        self.first_step, self.first_tokens = trainer.step, trainer.encoder.meter.tokens
        self.bar: tqdm | None = None
        if trainer.step:
            log.info("%s: resumes after batch %d of %d", name, trainer.step, trainer.batches)
        if sys.stderr.isatty():
            self.bar = tqdm(
                total=trainer.batches, initial=trainer.step, desc=name, unit="batch", dynamic_ncols=True
            )

    def on_batch(self, loss: float) -> None:
        """Update the display after a batch."""
        now, step, batches = time.monotonic(), self.trainer.step, self.trainer.batches
        seconds = now - self.start
        tokens = (self.trainer.encoder.meter.tokens - self.first_tokens) / seconds
        if self.bar is not None:  # tqdm shows the remaining time
            self.bar.set_postfix_str(f"loss {loss:.3f}{self.metric}, {tokens:.0f} tokens/s", refresh=False)
            self.bar.update()
        elif now - self.reported >= LINE_SECONDS or step == batches:
            self.reported = now
            remaining = seconds / (step - self.first_step) * (batches - step)
            log.info(
                "%s: batch %d of %d, loss %.3f%s, %.0f tokens/s, %.0f s left",
                self.name, step, batches, loss, self.metric, tokens, remaining,
            )  # fmt: skip

    def on_evaluation(self, evaluation: Evaluation) -> None:
        """Show the score of an evaluation."""
        metric = self.trainer.task.primary_metric
        value = evaluation.metrics.get(metric)
        self.metric = "" if value is None else f", {metric} {value:.3f} on the {evaluation.split} rows"

    def close(self) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()
