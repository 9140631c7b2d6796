"""When a training's state is written down."""

import logging
import time

from harness.core.trainer import Trainer
from harness.errors import HarnessError
from harness.paths import shown
from harness.runs.checkpoint import Checkpoints

log = logging.getLogger(__name__)


class Saver:
    """Writes a checkpoint every few minutes and on demand; a full disk stops no training."""

    def __init__(self, trainer: Trainer, checkpoints: Checkpoints, minutes: float) -> None:
        self._trainer = trainer
        self._checkpoints = checkpoints
        self._seconds = 60 * minutes
        self._since = time.monotonic()
        self._saved: tuple[int, int] | None = None

    def resume(self) -> None:
        """Bring the trainer to the newest checkpoint, if there is one.

        Raises:
            HarnessError: it is of another run, or of another kind of device.
        """
        state = self._checkpoints.newest()
        if state is None:
            return
        encoder, made_on = self._trainer.encoder, state.facts["device"]
        if encoder.device.type != made_on:
            raise HarnessError(
                f"the run was begun on {made_on} and cannot go on with {encoder.device.type}, whose random "
                f"streams differ; set device: {made_on}, or delete {shown(self._checkpoints.folder)}"
            )
        sizes = [size for size in (encoder.micro_batch, state.facts["micro_batch"]) if size]
        encoder.micro_batch = min(sizes, default=None)
        self._trainer.load_state(state)
        self._saved = self._position()

    def save_if_due(self) -> None:
        """Write a checkpoint if the last one is old enough."""
        if time.monotonic() - self._since >= self._seconds:
            self.save()

    def save(self) -> str:
        """Write a checkpoint and return what became of it, in words."""
        if self._position() != self._saved:
            try:
                self._checkpoints.write(self._trainer.state())
                self._saved = self._position()
            except OSError as error:
                kept = f"the one of batch {self._saved[0]} stays" if self._saved else "there is none"
                told = f"checkpoint not written ({error.strerror or error}); {kept}"
                log.warning("batch %d of %d: %s", self._trainer.step, self._trainer.batches, told)
                return told
            finally:
                self._since = time.monotonic()
        return "checkpoint written"

    def _position(self) -> tuple[int, int]:
        return self._trainer.step, len(self._trainer.record.evaluations)
