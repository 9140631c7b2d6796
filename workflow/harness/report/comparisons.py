"""Comparisons: what each run said of each reported example, for paired statistics."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from harness.plan.grid import Run
from harness.plan.plan import Plan
from harness.runs.atomic import whole_file
from harness.runs.folder import RunFolder

NAMES = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        ("task", NAMES),
        ("model", NAMES),
        ("variant", NAMES),
        ("seed", pa.int32()),
        ("split", NAMES),
        ("row", pa.int32()),
        ("label", pa.float32()),
        ("prediction", pa.float32()),
    ]
)


def comparisons_path(folder: Path) -> Path:
    """Return where the comparisons of an experiment's folder lie."""
    return folder / "comparisons.parquet"


def write_comparisons(plan: Plan) -> Path:
    """Write one row for each planned run, report split and example; return the file.

    ``label`` and ``prediction`` are class numbers, or scores for a regression. A run without
    predictions (missing, failed, diverged) has no rows.
    """
    path = comparisons_path(plan.folder)
    with (
        whole_file(path) as temporary,
        pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer,
    ):
        for run in plan.runs:
            folder = RunFolder(plan.run_folder(run))
            if folder.result_path.is_file() and folder.predictions_path.is_file():
                writer.write_table(_rows(run, folder))
    return path


def _rows(run: Run, folder: RunFolder) -> pa.Table:
    found = pq.read_table(folder.predictions_path)
    logits = np.stack([found[name].to_numpy() for name in found.column_names if name.startswith("logit_")])
    predicted = logits[0] if run.cell.task.kind == "regression" else logits.argmax(0)
    cell = run.cell
    names = {"task": cell.task_name, "model": cell.model_name, "variant": cell.variant}
    columns = {
        **{key: pa.array([value] * len(found)).cast(NAMES) for key, value in names.items()},
        "seed": pa.array(np.full(len(found), run.seed, np.int32)),
        "split": pa.array(found["split"].to_pylist()).cast(NAMES),
        "row": pa.array(found["row"].to_numpy().astype(np.int32)),
        "label": pa.array(found["label"].to_numpy().astype(np.float32)),
        "prediction": pa.array(predicted.astype(np.float32)),
    }
    return pa.table(columns, schema=SCHEMA)
