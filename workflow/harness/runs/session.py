"""A training session: everything that a run, a trial of a search and a diagnosis need to train one cell."""

import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from harness.data.pretrained import centre_head, load_network, load_tokenizer, model_folder
from harness.data.sources import Folders, load_splits
from harness.data.tokens import STAMP, damage, open_tokens, tokenize, truncated_rows
from harness.engine.encoder import Encoder
from harness.engine.rng import Streams
from harness.engine.splits import Data, Split, split_off_selection
from harness.engine.trainer import Interrupted, Trainer
from harness.methods.interface import Method
from harness.plan.grid import Cell
from harness.plan.plan import Plan
from harness.runs.device import choose_device
from harness.runs.stop import StopRequest
from harness.util.errors import HarnessError
from harness.util.paths import display_path

log = logging.getLogger(__name__)
T = TypeVar("T")
WITHOUT_NOISE = "no dropout, so the passes that it compares are the same; set hidden_dropout"


@dataclass(frozen=True)
class TrainingSession:
    """A cell with a seed, ready to train."""

    cell: Cell
    encoder: Encoder
    """The pretrained encoder with the seed's fresh head."""
    method: Method
    """An instance of its own: its state belongs to this session only."""
    streams: Streams
    data: Data
    trainer: Trainer
    truncated: dict[str, int]
    """Number of texts of each split that were truncated to the maximum length."""

    @contextmanager
    def out_of_memory_as_smaller_batch(self) -> Iterator[None]:
        """Turn an out-of-memory error into a request for a smaller micro-batch (see ``fit_in_memory``).

        Raises:
            SmallerBatchNeeded: memory ran out.
            HarnessError: memory ran out with one example at a time.
        """
        try:
            yield
        except torch.OutOfMemoryError:
            size = _half(self.encoder.micro_batch, self.cell.protocol.batch_size)
            raise SmallerBatchNeeded(size) from None


class SmallerBatchNeeded(Exception):  # noqa: N818 - a request, not an error
    """Memory ran out; a micro-batch of ``size`` examples may fit."""

    def __init__(self, size: int) -> None:
        self.size = size


def open_session(
    plan: Plan,
    cell: Cell,
    seed: int,
    *,
    micro_batch: int | None = None,
    stop: StopRequest | None = None,
    report: bool = True,
) -> TrainingSession:
    """Return a session that trains ``cell`` with ``seed``.

    Args:
        micro_batch: examples computed at a time; None computes whole batches.
        stop: training raises Interrupted between two batches once this is true.
        report: if false, the report splits are not even opened, so a search cannot read them.

    Raises:
        HarnessError: data or weights are missing, or are not the declared ones.
    """
    protocol = cell.protocol
    device = choose_device(plan.experiment.device, protocol.precision)
    tokens = ensure_tokens(plan, cell)
    streams = Streams(seed, cell.task_name, cell.model_name, device)
    data = _rows(cell, tokens, report)
    encoder = _encoder(plan, cell, streams, data, device)
    encoder.micro_batch = micro_batch if micro_batch and micro_batch < protocol.batch_size else None
    method = type(cell.method)(cell.method.arguments)

    def check() -> None:
        if stop:
            raise Interrupted

    if method.needs_dropout(method.arguments) and not has_dropout(encoder, method):
        log.warning("%s: %s", cell.name, WITHOUT_NOISE)
    trainer = Trainer(encoder, method, cell.task, protocol, streams, data, check)
    return TrainingSession(cell, encoder, method, streams, data, trainer, truncated_rows(tokens))


def has_dropout(encoder: Encoder, method: Method) -> bool:
    """Return whether the passes of a step have different dropout masks."""
    rates = [module.p for module in encoder.network.modules() if isinstance(module, torch.nn.Dropout)]
    rates.append(getattr(encoder.network.config, "attention_dropout", 0.0) or 0.0)  # a function's argument
    return method.arguments.dropout == "independent" and max(rates, default=0.0) > 0


def fit_in_memory(train: Callable[[int | None], T], micro_batch: int | None, name: str) -> T:
    """Return ``train(micro_batch)``; each time it runs out of memory, try again with half as many examples.

    ``train`` runs its session inside ``out_of_memory_as_smaller_batch``.
    """
    while True:
        try:
            return train(micro_batch)
        except SmallerBatchNeeded as error:
            micro_batch = error.size
        # Outside of `except`, nothing holds the tensors of the failed attempt any more.
        log.warning("%s: out of memory; resuming with %d examples at a time", name, micro_batch)
        gc.collect()
        torch.cuda.empty_cache()


def _half(micro_batch: int | None, batch_size: int) -> int:
    """Return half of what was computed at a time when memory ran out."""
    size = min(micro_batch or batch_size, batch_size)
    if size == 1:
        raise HarnessError(
            "out of memory with one example at a time: shorten max_length, or use a larger GPU"
        )
    return size // 2


def ensure_tokens(plan: Plan, cell: Cell) -> Path:
    """Return the folder with the token ids of ``cell``, made now if they are missing or damaged.

    Raises:
        HarnessError: the data is missing or is not the declared one.
    """
    if not cell.fetched:
        raise HarnessError(plan.must_be_fetched())
    folder = plan.tokens_folder(cell)
    if (reason := damage(folder)) is not None:
        if (folder / STAMP).is_file():
            log.warning("token ids in %s are made again: %s", display_path(folder), reason)
        splits = load_splits(cell.task, Folders(plan.experiment.data_folder(), plan.fetched_data))
        tokenizer = load_tokenizer(encoder_folder(plan, cell), cell.model)
        facts = tokenize(splits, tokenizer, cell.protocol.max_length, folder)
        for split, counts in facts.items():
            log.info(
                "%s under %s, %s: %d rows, %d tokens, longest %d, %d truncated to %d",
                cell.task_name, cell.model_name, split, counts.rows, counts.tokens, counts.longest,
                counts.truncated, cell.protocol.max_length,
            )  # fmt: skip
    return folder


def encoder_folder(plan: Plan, cell: Cell) -> Path:
    """Return the folder with weights and tokenizer of the cell's model."""
    return model_folder(cell.model_name, cell.model, plan.fetched_models)


def _rows(cell: Cell, tokens: Path, report: bool) -> Data:
    training, selection = split_off_selection(open_tokens(tokens, cell.task.train), cell.protocol)
    if cell.task.kind == "classification" and len(np.unique(training.labels)) < 2:
        raise HarnessError(f"{cell.name}: the {len(training.rows)} training rows all have the same label")
    names = cell.task.report if report else ()
    return Data(training, selection, {name: _all_rows(tokens, name) for name in names})


def _all_rows(tokens: Path, name: str) -> Split:
    split = open_tokens(tokens, name)
    return Split(split, np.arange(len(split.labels)))


def _encoder(plan: Plan, cell: Cell, streams: Streams, data: Data, device: torch.device) -> Encoder:
    """Return the pretrained encoder with a head drawn from the seed's stream."""
    with streams.head.active():
        network = load_network(
            encoder_folder(plan, cell),
            cell.model,
            cell.task.outputs,
            device,
            cell.protocol.dropout_rates(),
        )
    regression = cell.task.kind == "regression"
    if regression and cell.protocol.head_bias == "train-mean":
        centre_head(network, float(data.training.labels.mean()))
    return Encoder(
        network,
        regression=regression,
        draws=streams.perturbation,
        dropout_stream=streams.dropout,
        precision=cell.protocol.precision,
        fast=plan.experiment.fast,
    )
