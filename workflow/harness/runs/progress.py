"""Live progress: a bar on a terminal, plain lines elsewhere."""

import logging
import sys
import time

from tqdm import tqdm

from harness.core.loop import Evaluation
from harness.core.trainer import Trainer

log = logging.getLogger(__name__)
LINE_SECONDS = 30.0


class Progress:
    """Tells how far one run has come, how fast, and how long it will take."""

    def __init__(self, name: str, trainer: Trainer) -> None:
        self.name = name
        self.trainer = trainer
        self.metric = ""
        self.start = self.told = time.monotonic()
        self.first_step, self.first_tokens = trainer.step, trainer.encoder.meter.tokens
        self.bar: tqdm | None = None
        if trainer.step:
            log.info("%s: goes on after batch %d of %d", name, trainer.step, trainer.batches)
        if sys.stderr.isatty():
            self.bar = tqdm(
                total=trainer.batches, initial=trainer.step, desc=name, unit="batch", dynamic_ncols=True
            )

    def on_batch(self, loss: float) -> None:
        """Take note of a batch."""
        now, step, batches = time.monotonic(), self.trainer.step, self.trainer.batches
        seconds = now - self.start
        tokens = (self.trainer.encoder.meter.tokens - self.first_tokens) / seconds
        if self.bar is not None:  # it knows the time left by itself
            self.bar.set_postfix_str(f"loss {loss:.3f}{self.metric}, {tokens:.0f} tokens/s", refresh=False)
            self.bar.update()
        elif now - self.told >= LINE_SECONDS or step == batches:
            self.told = now
            left = seconds / (step - self.first_step) * (batches - step)
            log.info(
                "%s: batch %d of %d, loss %.3f%s, %.0f tokens/s, %.0f s left",
                self.name, step, batches, loss, self.metric, tokens, left,
            )  # fmt: skip

    def on_evaluation(self, found: Evaluation) -> None:
        """Take note of an evaluation of a watched split."""
        rank = self.trainer.task.rank
        value = found.metrics.get(rank)
        self.metric = "" if value is None else f", {rank} {value:.3f} on the {found.split} rows"

    def close(self) -> None:
        """Leave the terminal's line."""
        if self.bar is not None:
            self.bar.close()
