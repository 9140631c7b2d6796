"""What a run needs before its first batch: token ids, encoder, streams, rows."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.core.encoder import Encoder
from harness.core.loop import Data, Split, cut
from harness.core.streams import Streams
from harness.errors import HarnessError
from harness.inputs.models import centre_head, load_network, load_tokenizer, model_folder
from harness.inputs.sources import Folders, load_splits
from harness.inputs.tokens import STAMP, cut_texts, damage, open_tokens, tokenize
from harness.paths import shown
from harness.plan.grid import Cell
from harness.plan.plan import Plan
from harness.runs.device import choose_device

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """A run about to start."""

    encoder: Encoder
    streams: Streams
    data: Data
    cut: dict[str, int]
    """Split to the number of its texts that were cut to the maximum length."""


def ensure_tokens(plan: Plan, cell: Cell) -> Path:
    """Return the folder with the token ids of ``cell``, made now if it is not there or damaged.

    Raises:
        HarnessError: the data is missing or not the declared one.
    """
    if not cell.fetched:
        raise HarnessError(plan.must_be_fetched())
    folder = plan.tokens_folder(cell)
    if (wrong := damage(folder)) is not None:
        if (folder / STAMP).is_file():
            log.warning("token ids in %s are made again: %s", shown(folder), wrong)
        splits = load_splits(cell.task, Folders(plan.experiment.data_folder(), plan.fetched_data))
        tokenizer = load_tokenizer(encoder_folder(plan, cell), cell.model)
        facts = tokenize(splits, tokenizer, cell.protocol.max_length, folder)
        for split, seen in facts["splits"].items():
            log.info(
                "%s under %s, %s: %d rows, %d tokens, longest %d, %d cut to %d",
                cell.task_name, cell.model_name, split, seen["rows"], seen["tokens"], seen["longest"],
                seen["cut"], cell.protocol.max_length,
            )  # fmt: skip
    return folder


def encoder_folder(plan: Plan, cell: Cell) -> Path:
    """Return the folder with weights and tokenizer of the cell's model."""
    return model_folder(cell.model_name, cell.model, plan.fetched_models)


def prepare(plan: Plan, cell: Cell, seed: int, report: bool = True) -> Prepared:
    """Return the encoder with the seed's fresh head, the seed's streams, and the rows of ``cell``.

    Without ``report`` the report splits are not even opened: a search has no way to read them.

    Raises:
        HarnessError: data or weights are missing, or not the declared ones.
    """
    device = choose_device(plan.experiment.device, cell.protocol.precision)
    tokens = ensure_tokens(plan, cell)
    streams = Streams(seed, cell.task_name, cell.model_name, device)
    training, selection = cut(open_tokens(tokens, cell.task.train), cell.protocol)
    if cell.task.kind == "classification" and len(np.unique(training.labels)) < 2:
        raise HarnessError(f"{cell.name}: the {len(training.rows)} training rows all have the same label")
    network = load_network(encoder_folder(plan, cell), cell.model, cell.task.outputs, streams.head, device)
    regression = cell.task.kind == "regression"
    if regression and cell.protocol.head_bias == "train-mean":
        centre_head(network, float(training.labels.mean()))
    encoder = Encoder(
        network,
        regression=regression,
        draws=streams.perturbation,
        dropout_stream=streams.dropout,
        precision=cell.protocol.precision,
    )
    splits = {name: _whole(tokens, name) for name in cell.task.report if report}
    return Prepared(encoder, streams, Data(training, selection, splits), cut_texts(tokens))


def _whole(tokens: Path, name: str) -> Split:
    split = open_tokens(tokens, name)
    return Split(split, np.arange(len(split.labels)))
