"""The two sides of a comparison, ours and the reference, on the same rows."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.parity import REFERENCES
from benchmarks.references import FreshDraws, Reference
from benchmarks.settings import BATCH, Setting, cell_of, plan_of
from harness.core.batches import shuffled
from harness.core.encoder import Encoder
from harness.core.loop import Split, train_batch
from harness.core.update import Update
from harness.methods.interface import Batch, Method
from harness.plan.protocol import Protocol
from harness.runs.prepare import prepare

HORIZON = 1000
"""Length of the schedule, in batches."""
SAMPLE = 48
"""Batches from which the measured ones are taken: those of middling padded size."""

Step = Callable[[Batch], float]


@dataclass(frozen=True)
class Ours:
    """Encoder, method and optimizer of a setting, and the training rows of its task."""

    encoder: Encoder
    method: Method
    protocol: Protocol
    update: Update
    rows: Split

    def step(self, batch: Batch) -> float:
        """Train on one batch; return the loss."""
        return train_batch(self.encoder, self.method, batch, self.update)


def ours(task: str, model: str, setting: Setting, precision: str, data_root: Path | None) -> Ours:
    """Return our side."""
    plan = plan_of(task, model, setting, precision, data_root)
    cell, ready = cell_of(plan), prepare(plan, cell_of(plan), seed=1)
    method = type(cell.method)(cell.method.arguments)
    update = Update(ready.encoder.network, cell.protocol, HORIZON, ready.encoder.meter)
    return Ours(ready.encoder, method, cell.protocol, update, ready.data.training)


def reference(side: Ours, setting: Setting) -> Reference:
    """Return the reference loop with the weights, arguments and optimizer of our side."""
    return REFERENCES[setting.family](
        plain_network(side.encoder.network), side.method.arguments, side.protocol, HORIZON, FreshDraws()
    )


def plain_network(network: Any) -> Any:
    """Return the network as the library builds it, with the same weights."""
    from transformers import AutoModelForSequenceClassification

    config = copy.deepcopy(network.config)
    made = AutoModelForSequenceClassification.from_config(config, attn_implementation="sdpa")
    made.load_state_dict(network.state_dict())
    return made.to(next(network.parameters()).device)


def middling(side: Ours, count: int) -> list[Batch]:
    """Return ``count`` shuffled batches whose padded size is nearest to the median, that one first."""
    order = torch.Generator().manual_seed(0)
    rows = side.rows.rows
    found = []
    for batch in shuffled(side.rows.tokens, rows, BATCH, order, side.encoder.device):
        found.append(batch)
        if len(found) == min(SAMPLE, max(1, len(rows) // BATCH)):
            break
    middle = np.median([batch.ids.numel() for batch in found])
    return sorted(found, key=lambda batch: abs(batch.ids.numel() - middle))[:count]


def small(batch: Batch) -> Batch:
    """Return the first texts of a batch, to start the optimizers' moments with."""
    few = slice(0, 4)
    mask = batch.mask[few]
    return Batch(batch.ids[few], mask, batch.types[few], batch.labels[few], int(mask.sum()))
