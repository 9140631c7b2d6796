"""One run from plan to record: data, model, training, evaluation, ``result.json``."""

import hashlib
import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml

from harness.core.batches import collate
from harness.core.encoder import Encoder, Meter
from harness.core.evaluate import logits_of
from harness.core.loop import EVALUATION_BATCH, DivergenceError, Evaluation, Split, Training, cut, train
from harness.core.magnitude import last_perturbation, measure
from harness.core.metrics import collapse, scores
from harness.core.streams import Streams
from harness.core.update import Update
from harness.inputs.models import centre_head, load_network, load_tokenizer
from harness.inputs.sources import load_splits
from harness.inputs.tokens import STAMP, open_tokens, tokenize
from harness.methods.interface import Method
from harness.plan.grid import Cell, Run
from harness.plan.plan import Plan
from harness.runs.folder import RunFolder
from harness.runs.progress import Progress
from harness.runs.provenance import commit, machine, versions
from harness.runs.record import Cost, Curve, Result, Status

log = logging.getLogger(__name__)


def ensure_tokens(plan: Plan, cell: Cell) -> Path:
    """Return the folder with the token ids of ``cell``, made now if it is not there.

    Raises:
        HarnessError: the data is missing or not the declared one.
    """
    folder = plan.tokens_folder(cell)
    if not (folder / STAMP).is_file():
        root = Path(plan.experiment.data_root).expanduser() if plan.experiment.data_root else None
        splits = load_splits(cell.task_name, cell.task, root)
        facts = tokenize(splits, load_tokenizer(cell.model), cell.protocol.max_length, folder)
        for split, seen in facts["splits"].items():
            log.info(
                "%s under %s, %s: %d rows, %d tokens, longest %d, %d cut to %d",
                cell.task_name, cell.model_name, split, seen["rows"], seen["tokens"], seen["longest"],
                seen["cut"], cell.protocol.max_length,
            )  # fmt: skip
    return folder


def choose_device() -> torch.device:
    """Return the GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def execute(plan: Plan, run: Run, threads: int) -> Result:
    """Train, evaluate and record one run; its lock must be held.

    A run that diverges is a result. Anything else that goes wrong is raised, and leaves no result.
    """
    torch.set_num_threads(threads)
    device = choose_device()
    cell, folder = run.cell, RunFolder(plan.run_folder(run))
    method = type(cell.method)(cell.method.arguments)  # its state is this run's alone
    tokens = ensure_tokens(plan, cell)
    streams = Streams(run.seed, cell.task_name, cell.model_name, device)
    data = cut(open_tokens(tokens, cell.task.train), cell.protocol)
    network = load_network(cell.model, cell.task.outputs, streams.head, device)
    if cell.task.kind == "regression" and cell.protocol.head_bias == "train-mean":
        centre_head(network, float(data[0].labels.mean()))
    encoder = Encoder(
        network,
        regression=cell.task.kind == "regression",
        draws=streams.perturbation,
        dropout_stream=streams.dropout,
        precision=cell.protocol.precision,
    )
    head = _weights_hash(encoder, head_only=True)
    _describe(plan, run, folder, streams, device, threads)

    report = {name: _whole(tokens, name) for name in cell.task.report}
    logits: dict[str, np.ndarray] = {}
    cause: str | None = None
    training = Training()
    try:
        training = _train(encoder, method, run, streams, data, folder)
        logits = {name: logits_of(encoder, s.tokens, s.rows, EVALUATION_BATCH) for name, s in report.items()}
        if not all(np.isfinite(values).all() for values in logits.values()):
            raise DivergenceError("a logit of the report split is not finite")
    except DivergenceError as error:
        log.warning("%s diverged: %s", run.name, error)
        cause, logits = str(error), {}
    result = _result(plan, run, training, report, logits, cause, encoder.meter)
    hashes = {"weights": _weights_hash(encoder), "head": head, "tokens": cell.tokens_key}
    flags = {
        **result.flags,
        "perturbation": _magnitude(encoder, method, cell, data[0]) if cause is None else None,
    }
    result = result.model_copy(update={"hashes": hashes, "flags": flags})
    _write_predictions(folder, cell, report, logits)
    folder.write_result(result)
    return result


def _magnitude(encoder: Encoder, method: Method, cell: Cell, training: Split) -> dict[str, Any] | None:
    """Return the size of the method's perturbation on the first training rows, None if it has none.

    It is the last thing done with the weights: a step of the method moves them.
    """
    batch = collate(training.tokens, training.rows[: cell.protocol.batch_size], encoder.device)
    update = Update(encoder.network, cell.protocol, 1, encoder.meter)
    perturbation = last_perturbation(encoder, method, batch, update)
    if perturbation is None:
        return None
    return measure(encoder, batch, perturbation, cell.protocol.precision).as_dict()


def _whole(tokens: Path, name: str) -> Split:
    split = open_tokens(tokens, name)
    return Split(split, np.arange(len(split.labels)))


def _train(
    encoder: Encoder, method: Method, run: Run, streams: Streams, data: tuple[Split, Split], folder: RunFolder
) -> Training:
    cell = run.cell
    progress = Progress(run.name, cell.task.rank)
    folder.metrics_path.unlink(missing_ok=True)  # of a try that came to nothing

    def on_evaluation(found: Evaluation) -> None:
        progress.on_evaluation(found)
        with folder.metrics_path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"split": "selection", **asdict(found)}) + "\n")

    return train(encoder, method, cell.task, cell.protocol, streams, data, progress.on_batch, on_evaluation)


def _describe(
    plan: Plan, run: Run, folder: RunFolder, streams: Streams, device: torch.device, threads: int
) -> None:
    """Write what the run is, before it starts."""
    cell = run.cell
    settled: dict[str, Any] = {
        "run": run.name,
        "run_key": run.key,
        "experiment": plan.experiment.name,
        "seed": run.seed,
        "task": cell.task.model_dump(mode="json"),
        "model": cell.model.model_dump(mode="json"),
        "variant": cell.variant,
        "method": cell.method.name,
        "arguments": cell.method.arguments.model_dump(mode="json"),
        "protocol": cell.protocol.model_dump(mode="json"),
    }
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.config_path.write_text(
        yaml.safe_dump(settled, sort_keys=False, allow_unicode=True), encoding="utf-8"
    )
    provenance = {
        **commit(),
        "versions": versions(),
        "machine": machine(str(device), threads),
        "streams": streams.seeds,
        "cell_identity": cell.identity,
        "rows": {split: rows.hash for split, rows in cell.task.rows.items()},
    }
    folder.write_json(folder.provenance_path, provenance)


def _result(
    plan: Plan,
    run: Run,
    training: Training,
    report: dict[str, Split],
    logits: dict[str, np.ndarray],
    cause: str | None,
    meter: Meter,
) -> Result:
    cell = run.cell
    status: Status = "diverged"
    flags: dict[str, Any] = {"reason": cause}
    if cause is None:
        ranked = cell.task.report[0]
        why, p = collapse(cell.task, report[ranked].labels, logits[ranked])
        status = "ok" if why is None else "collapsed"
        flags = {"reason": why, "chance_p": p}
    return Result(
        run_key=run.key,
        experiment=plan.experiment.name,
        task=cell.task_name,
        model=cell.model_name,
        method=cell.method.name,
        variant=cell.variant,
        seed=run.seed,
        status=status,
        selection={"rule": cell.protocol.selection, "step": training.chosen_step},
        metrics={name: scores(cell.task, report[name].labels, values) for name, values in logits.items()},
        curve=_curve(training, cell.task.rank),
        cost=_cost(training, meter),
        flags=flags,
        hashes={},
    )


def _curve(training: Training, rank: str) -> Curve:
    values = [e.metrics[rank] for e in training.evaluations if rank in e.metrics]
    if not values:
        return Curve(evaluations=len(training.evaluations))
    last = values[-5:]
    return Curve(
        best=max(values),
        last=values[-1],
        mean_last_5=sum(last) / len(last),
        evaluations=len(training.evaluations),
    )


def _cost(training: Training, meter: Meter) -> Cost:
    return Cost(
        forward_passes=meter.forward,
        backward_passes=meter.backward,
        input_backward_passes=meter.input_backward,
        optimizer_steps=meter.optimizer_steps,
        examples=meter.examples,
        tokens=meter.tokens,
        computed_tokens=meter.computed_tokens,
        train_seconds=round(training.train_seconds, 3),
        evaluation_seconds=round(training.evaluation_seconds, 3),
        peak_memory_mb=round(_peak_memory_mb(), 1),
    )


def _peak_memory_mb() -> float:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _weights_hash(encoder: Encoder, head_only: bool = False) -> str:
    """Return the SHA-256 of all parameters, or of those outside the pre-trained encoder."""
    backbone = f"{getattr(encoder.network, 'base_model_prefix', '')}."
    state = hashlib.sha256()
    for name, parameter in encoder.named_parameters().items():
        if not (head_only and name.startswith(backbone)):
            state.update(name.encode() + parameter.detach().cpu().contiguous().numpy().tobytes())
    return state.hexdigest()


def _write_predictions(
    folder: RunFolder, cell: Cell, report: dict[str, Split], logits: dict[str, np.ndarray]
) -> None:
    """Write row number, label and logits of the report splits; a diverged run has none."""
    parts = [
        pd.DataFrame(
            {
                "split": name,
                "row": report[name].rows,
                "label": report[name].labels,
                **{f"logit_{c}": values[:, c] for c in range(values.shape[1])},
            }
        )
        for name, values in logits.items()
    ]
    if not parts:
        folder.predictions_path.unlink(missing_ok=True)
        return
    temporary = folder.predictions_path.with_suffix(".partial")
    pd.concat(parts, ignore_index=True).to_parquet(temporary, index=False)
    temporary.replace(folder.predictions_path)
