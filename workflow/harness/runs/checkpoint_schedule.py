"""The schedule of a run's checkpoints, and resuming from the newest one."""

import logging
import time

from harness.engine.trainer import Trainer
from harness.runs.checkpoint import Checkpoints
from harness.util.errors import HarnessError
from harness.util.paths import display_path

log = logging.getLogger(__name__)


class CheckpointSchedule:
    """Writes a checkpoint every ``minutes`` and on demand. Training continues if the disk is full."""

    def __init__(self, trainer: Trainer, checkpoints: Checkpoints, minutes: float) -> None:
        self._trainer = trainer
        self._checkpoints = checkpoints
        self._seconds = 60 * minutes
        self._since = time.monotonic()
        self._saved: tuple[int, int] | None = None
        self._resumed: tuple[int, int] | None = None

    def resume(self) -> None:
        """Load the newest checkpoint, if any, into the trainer.

        Raises:
            HarnessError: the checkpoint belongs to another run, or to another kind of device.
        """
        state = self._checkpoints.newest()
        if state is None:
            return
        encoder, device = self._trainer.encoder, state.facts["device"]
        if encoder.device.type != device:
            raise HarnessError(
                f"the run was started on {device} and cannot resume on {encoder.device.type}, whose random "
                f"streams differ; set device: {device}, or delete {display_path(self._checkpoints.folder)}"
            )
        sizes = [size for size in (encoder.micro_batch, state.facts["micro_batch"]) if size]
        encoder.micro_batch = min(sizes, default=None)
        self._trainer.load_state(state)
        self._saved = self._resumed = self._position()

    @property
    def advanced(self) -> bool:
        """Whether a checkpoint of this attempt is on disk: only then does another attempt start later."""
        return self._saved != self._resumed

    def save_if_due(self) -> None:
        """Write a checkpoint if the last one is older than the interval."""
        if time.monotonic() - self._since >= self._seconds:
            self.save()

    def save(self) -> str:
        """Write a checkpoint; return a message about the outcome. A failure is logged as a warning."""
        if self._position() != self._saved:
            try:
                self._checkpoints.write(self._trainer.state())
                self._saved = self._position()
            except OSError as error:
                kept = (
                    f"keeping the one of batch {self._saved[0]}" if self._saved else "there is no earlier one"
                )
                message = f"checkpoint not written ({error.strerror or error}); {kept}"
                log.warning("batch %d of %d: %s", self._trainer.step, self._trainer.batches, message)
                return message
            finally:
                self._since = time.monotonic()
        return "checkpoint written"

    def _position(self) -> tuple[int, int]:
        return self._trainer.step, len(self._trainer.record.evaluations)
