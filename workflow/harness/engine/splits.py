"""The rows of a run (training, selection, report) and the logits of a split."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from harness.config.protocol import Protocol
from harness.config.task import Task
from harness.data.tokens import Tokens
from harness.engine.batches import by_length
from harness.engine.encoder import Encoder, Meter

SELECTION = "selection"


@dataclass(frozen=True)
class Split:
    """Rows of a tokenised split."""

    tokens: Tokens
    rows: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """Labels of the rows."""
        return np.asarray(self.tokens.labels[self.rows])


@dataclass(frozen=True)
class Data:
    """The rows of a run."""

    training: Split
    selection: Split
    report: dict[str, Split]

    def evaluated_during_training(self, task: Task, protocol: Protocol) -> dict[str, Split]:
        """Return the splits to evaluate during training.

        The primary report split is among them only if the protocol requires it: to record its curve, or to
        select by it as the released scripts do.
        """
        splits = {SELECTION: self.selection} if len(self.selection.rows) else {}
        if protocol.record_report_curve or protocol.selection == "best-on-report":
            splits[task.primary_split] = self.report[task.primary_split]
        return splits


def split_off_selection(tokens: Tokens, protocol: Protocol) -> tuple[Split, Split]:
    """Return (training rows, selection rows), by content hash: the same for all methods and seeds.

    In this order equal texts are adjacent, and all of them are put on the same side.
    """
    order, end = np.asarray(tokens.order), protocol.selection_rows
    while 0 < end < len(order) and np.array_equal(tokens.row(order[end - 1]), tokens.row(order[end])):
        end += 1
    selection, rest = order[:end], order[end:]
    return Split(tokens, rest[: protocol.train_rows]), Split(tokens, selection)


def logits_of(
    encoder: Encoder, tokens: Tokens, rows: np.ndarray, batch_size: int, check: Callable[[], None]
) -> np.ndarray:
    """Return the logits of ``rows``, [n, C], in their order.

    The counts of training do not change. ``check`` is called before each batch and may raise.
    """
    result: np.ndarray | None = None
    training_meter, encoder.meter = encoder.meter, Meter()
    encoder.network.eval()
    try:
        with torch.inference_mode():
            for positions, batch in by_length(tokens, rows, batch_size, encoder.device):
                check()
                logits = encoder(batch).logits.cpu().numpy()
                if result is None:
                    result = np.empty((len(rows), logits.shape[1]), dtype=logits.dtype)
                result[positions] = logits
    finally:
        encoder.meter = training_meter
    assert result is not None
    return result
