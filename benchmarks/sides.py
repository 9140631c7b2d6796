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
from benchmarks.settings import BATCH, Setting, plan_of
from harness.config.protocol import Protocol
from harness.engine.batches import shuffled
from harness.engine.encoder import Encoder
from harness.engine.optim import ScheduledOptimizer
from harness.engine.splits import Split
from harness.engine.trainer import train_batch
from harness.methods.interface import Batch, Method
from harness.runs.session import open_session

HORIZON = 1000
"""Length of the schedule, in batches."""
SAMPLE = 48
"""Batches from which the measured ones are taken: those with a middle padded size."""

Step = Callable[[Batch], float]


@dataclass(frozen=True)
class Ours:
    """Encoder, method and optimizer of a setting, and the training rows of its task."""

    encoder: Encoder
    method: Method
    protocol: Protocol
    optimizer: ScheduledOptimizer
    rows: Split

    def step(self, batch: Batch) -> float:
        """Train on one batch; return the loss."""
        return train_batch(self.encoder, self.method, batch, self.optimizer)


def ours(task: str, model: str, setting: Setting, precision: str, data_root: Path | None) -> Ours:
    """Return our side."""
    plan = plan_of(task, model, setting, precision, data_root)
    session = open_session(plan, plan.cells[0], seed=1)
    encoder, protocol = session.encoder, session.cell.protocol
    optimizer = ScheduledOptimizer(encoder.network, protocol, HORIZON, encoder.meter)
    return Ours(encoder, session.method, protocol, optimizer, session.data.training)


def reference(side: Ours, setting: Setting) -> Reference:
    """Return the reference loop with the weights, arguments and optimizer of our side."""
    return REFERENCES[setting.family](
        plain_network(side.encoder.network), side.method.arguments, side.protocol, HORIZON, FreshDraws()
    )


def plain_network(network: Any) -> Any:
    """Return the network as the library builds it, with the same weights."""
    from transformers import AutoModelForSequenceClassification

    config = copy.deepcopy(network.config)
    plain = AutoModelForSequenceClassification.from_config(config, attn_implementation="sdpa")
    plain.load_state_dict(network.state_dict())
    return plain.to(next(network.parameters()).device)


def middle_batches(side: Ours, count: int) -> list[Batch]:
    """Return ``count`` shuffled batches whose padded size is nearest to the median, the nearest first."""
    order = torch.Generator().manual_seed(0)
    rows = side.rows.rows
    batches: list[Batch] = []
    for batch in shuffled(side.rows.tokens, rows, BATCH, order, side.encoder.device):
        batches.append(batch)
        if len(batches) == min(SAMPLE, max(1, len(rows) // BATCH)):
            break
    middle = np.median([batch.input_ids.numel() for batch in batches])
    return sorted(batches, key=lambda batch: abs(batch.input_ids.numel() - middle))[:count]


def small(batch: Batch) -> Batch:
    """Return the first texts of a batch, to create the moments of the optimizers."""
    few = slice(0, 4)
    mask = batch.attention_mask[few]
    return Batch(batch.input_ids[few], mask, batch.token_type_ids[few], batch.labels[few], int(mask.sum()))
