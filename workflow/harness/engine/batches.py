"""Batches: token ids padded to the longest text of the batch."""

import math
from collections.abc import Iterator

import numpy as np
import torch

from harness.data.tokens import Tokens
from harness.methods.interface import Batch


def collate(tokens: Tokens, rows: np.ndarray, device: torch.device) -> Batch:
    """Return the batch of these row numbers."""
    lengths = tokens.lengths[rows]
    longest = int(lengths.max())
    real = np.arange(longest)[None, :] < lengths[:, None]
    ids = np.full((len(rows), longest), tokens.padding_id, dtype=np.int64)
    types = np.zeros_like(ids)
    positions = np.concatenate([np.arange(tokens.offsets[r], tokens.offsets[r + 1]) for r in rows])
    ids[real], types[real] = tokens.ids[positions], tokens.types[positions]
    labels = torch.from_numpy(tokens.labels[rows])
    if labels.is_floating_point():
        labels = labels.to(torch.get_default_dtype())
    return Batch(
        _to_device(torch.from_numpy(ids), device),
        _to_device(torch.from_numpy(real.astype(np.int64)), device),
        _to_device(torch.from_numpy(types), device),
        _to_device(labels, device),
        int(lengths.sum()),
    )


def _to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return the tensor on the device; a GPU copies it from pinned memory while the CPU works on."""
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def shuffled(
    tokens: Tokens,
    rows: np.ndarray,
    batch_size: int,
    order: torch.Generator,
    device: torch.device,
    start: int = 0,
) -> Iterator[Batch]:
    """Yield the batches of an epoch from number ``start`` on, in an order drawn from ``order``."""
    permuted = rows[torch.randperm(len(rows), generator=order).numpy()]
    for part in np.split(permuted, range(batch_size, len(permuted), batch_size))[start:]:
        yield collate(tokens, part, device)


def by_length(
    tokens: Tokens, rows: np.ndarray, batch_size: int, device: torch.device
) -> Iterator[tuple[np.ndarray, Batch]]:
    """Yield (positions in ``rows``, batch), with similar lengths together to reduce padding."""
    order = np.argsort(tokens.lengths[rows], kind="stable")
    for part in np.array_split(order, math.ceil(len(order) / batch_size)):
        yield part, collate(tokens, rows[part], device)
