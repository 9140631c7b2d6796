"""Live progress: a bar on a terminal, plain lines elsewhere."""

import logging
import sys
import time

from tqdm import tqdm

from harness.core.loop import Evaluation

log = logging.getLogger(__name__)
LINE_SECONDS = 20.0


class Progress:
    """Tells how far one run has come."""

    def __init__(self, name: str, rank: str) -> None:
        self.name = name
        self.rank = rank
        self.metric = ""
        self.start = self.told = time.monotonic()
        self.bar: tqdm | None = None

    def on_batch(self, step: int, batches: int, loss: float) -> None:
        """Take note of a batch."""
        if sys.stderr.isatty():
            if self.bar is None:
                self.bar = tqdm(total=batches, desc=self.name, unit="batch", dynamic_ncols=True)
            self.bar.set_postfix_str(f"loss {loss:.3f}{self.metric}", refresh=False)
            self.bar.update()
            if step == batches:
                self.bar.close()
            return
        now = time.monotonic()
        if now - self.told >= LINE_SECONDS or step == batches:
            self.told = now
            left = (now - self.start) / step * (batches - step)
            log.info(
                "%s: batch %d of %d, loss %.3f%s, %.0f s left",
                self.name,
                step,
                batches,
                loss,
                self.metric,
                left,
            )

    def on_evaluation(self, found: Evaluation) -> None:
        """Take note of an evaluation of the selection split."""
        value = found.metrics.get(self.rank)
        self.metric = "" if value is None else f", {self.rank} {value:.3f} on the {found.split} rows"
