"""The only entry to the kernels: ``speed_up`` installs those that a network can use.

Whether a network computes the same without padding is tried, not derived from its architecture: the logits
of one random batch, with and without padding, must be equal.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from harness.engine.kernels.dropout import replace_dropout
from harness.engine.kernels.embedding import keep_word_gradient
from harness.engine.kernels.unpadding import Unpadding

log = logging.getLogger(__name__)
LENGTHS = (8, 3, 6, 4)
"""Lengths of the texts of the random batch."""


def speed_up(network: Any) -> Unpadding | None:
    """Install the kernels that ``network`` can use; return its unpadding, or None if it trains padded.

    On a CPU, dropout and word embeddings are replaced. On any device, padding is left out if the network's
    attention comes from the library's attention interface.
    """
    if next(network.parameters()).device.type == "cpu":
        replace_dropout(network)
        keep_word_gradient(network)
    unpadding = _unpadding_or_reason(network)
    if isinstance(unpadding, Unpadding):
        return unpadding
    log.info("model type %s trains with padding: %s", network.config.model_type, unpadding)
    return None


def _unpadding_or_reason(network: Any) -> Unpadding | str:
    """Return the unpadding of ``network``, installed, or the reason why it has none."""
    if not isinstance(getattr(network.base_model, "encoder", None), nn.Module):
        return "its layers are not in a module named encoder"
    with _evaluation(network):
        ids, mask = _random_batch(network)
        padded = network(input_ids=ids, attention_mask=mask).logits
        unpadding = Unpadding(network)
        if (reason := _difference(network, unpadding, ids, mask, padded)) is not None:
            unpadding.remove()
            return reason
        if unpadding.can_select_firsts:
            unpadding.firsts_only = True
            unpadding.firsts_only = _difference(network, unpadding, ids, mask, padded) is None
        return unpadding


def _difference(network: Any, unpadding: Unpadding, ids: Tensor, mask: Tensor, padded: Tensor) -> str | None:
    """Return how the logits without padding differ from ``padded``, or None if they are equal."""
    try:
        unpadding.start(mask)
        logits = network(input_ids=ids, attention_mask=mask).logits
    except Exception as error:  # anything that a network may do with rows that it does not expect
        return f"without padding it raises {type(error).__name__}: {' '.join(str(error).split())}"
    if logits.shape == padded.shape and torch.allclose(logits, padded, rtol=1e-4, atol=1e-5):
        return None
    return "without padding its logits differ"


@contextmanager
def _evaluation(network: Any) -> Iterator[None]:
    """Compute without gradients, without dropout and in the full precision of the weights."""
    training, precision = network.training, torch.get_float32_matmul_precision()
    network.eval()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.no_grad():
            yield
    finally:
        torch.set_float32_matmul_precision(precision)
        network.train(training)


def _random_batch(network: Any) -> tuple[Tensor, Tensor]:
    """Return ids and mask of random texts; the random streams of a run are not used."""
    vocabulary, padding = network.get_input_embeddings().num_embeddings, network.config.pad_token_id or 0
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, vocabulary - 1, (len(LENGTHS), max(LENGTHS)), generator=generator)
    mask = (torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]).long()
    ids = torch.where(mask.bool(), ids + (ids >= padding).long(), padding)  # no text contains padding
    device = next(network.parameters()).device
    return ids.to(device), mask.to(device)
