"""One run from plan to record."""

import json
import logging
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
import yaml

from harness.core.batches import collate
from harness.core.encoder import Encoder
from harness.core.loop import DivergenceError, Evaluation, Split, Training, evaluate, train
from harness.core.magnitude import last_perturbation, measure
from harness.core.update import Update
from harness.methods.interface import Method
from harness.plan.grid import Cell, Run
from harness.plan.plan import Plan
from harness.runs.folder import RunFolder
from harness.runs.outcome import make_result, weights_hash, write_predictions
from harness.runs.prepare import Prepared, prepare
from harness.runs.progress import Progress
from harness.runs.provenance import commit, machine, versions
from harness.runs.record import Result

log = logging.getLogger(__name__)


def execute(plan: Plan, run: Run, threads: int) -> Result:
    """Train, evaluate and record one run; its lock must be held.

    A run that diverges is a result. Anything else that goes wrong is raised, and leaves no result.
    """
    torch.set_num_threads(threads)
    cell, folder = run.cell, RunFolder(plan.run_folder(run))
    ready = prepare(plan, cell, run.seed)
    method = type(cell.method)(cell.method.arguments)  # its state is this run's alone
    head = weights_hash(ready.encoder, head_only=True)
    _describe(plan, run, folder, ready, threads)

    training, logits, cause = _train(ready, method, run, folder)
    result = make_result(plan, run, training, ready, logits, cause)
    hashes = {"weights": weights_hash(ready.encoder), "head": head, "tokens": cell.tokens_key}
    size = _magnitude(ready.encoder, method, cell, ready.data.training) if cause is None else None
    result = result.model_copy(update={"hashes": hashes, "flags": {**result.flags, "perturbation": size}})
    write_predictions(folder, ready.data.report, logits)
    folder.write_result(result)
    return result


def _train(
    ready: Prepared, method: Method, run: Run, folder: RunFolder
) -> tuple[Training, dict[str, np.ndarray], str | None]:
    """Return the training's record, the logits of the report splits, and why it diverged if it did."""
    cell, encoder, record = run.cell, ready.encoder, Training()
    progress = Progress(run.name, cell.task.rank)
    folder.metrics_path.unlink(missing_ok=True)  # of a try that came to nothing

    def on_evaluation(found: Evaluation) -> None:
        progress.on_evaluation(found)
        with folder.metrics_path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(found)) + "\n")

    try:
        train(
            encoder, method, cell.task, cell.protocol, ready.streams, ready.data, record,
            progress.on_batch, on_evaluation,
        )  # fmt: skip
        logits = {name: evaluate(encoder, split, record) for name, split in ready.data.report.items()}
        if not all(np.isfinite(values).all() for values in logits.values()):
            raise DivergenceError("a logit of the report split is not finite")
    except DivergenceError as error:
        log.warning("%s diverged: %s", run.name, error)
        return record, {}, str(error)
    return record, logits, None


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


def _describe(plan: Plan, run: Run, folder: RunFolder, ready: Prepared, threads: int) -> None:
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
        "machine": machine(str(ready.encoder.device), threads),
        "streams": ready.streams.seeds,
        "cell_identity": cell.identity,
        "rows": {split: rows.hash for split, rows in cell.task.rows.items()},
    }
    folder.write_json(folder.provenance_path, provenance)
