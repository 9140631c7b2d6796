"""Logits of a split, in evaluation mode."""

from collections.abc import Callable

import numpy as np
import torch

from harness.core.batches import by_length
from harness.core.encoder import Encoder, Meter
from harness.inputs.tokens import Tokens


def logits_of(
    encoder: Encoder, tokens: Tokens, rows: np.ndarray, batch_size: int, check: Callable[[], None]
) -> tuple[np.ndarray, int]:
    """Return the logits of ``rows``, [n, C], in their order, and the forward passes they took.

    Training's counts are left alone. ``check`` is called before each batch and may raise.
    """
    result: np.ndarray | None = None
    meter = Meter()
    training_meter, encoder.meter = encoder.meter, meter
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
    return result, meter.forward
