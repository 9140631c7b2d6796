"""Comparisons: the label and prediction of every run for every example of its report splits."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from harness.plan.grid import Run
from harness.plan.plan import Plan
from harness.runs.folder import RunFolder
from harness.util.files import complete_file
from harness.util.hashing import file_digest

MADE_FROM = b"made_from"
"""Metadata of the file: a hash of the results that it was made from."""
Groups = dict[tuple[str, str], list[tuple[Run, RunFolder]]]
"""Task and model to their runs with predictions."""
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
    """Return the path of the comparisons in an experiment's folder."""
    return folder / "comparisons.parquet"


def write_comparisons(plan: Plan) -> Path:
    """Write one row for each planned run, report split and example; return the path.

    ``label`` and ``prediction`` are class numbers, or scores of a regression. A run without predictions
    (missing, failed, diverged) has no rows. The runs of a task and model form one row group, so that they
    are read together. A file that was made from the same results is not written again.
    """
    path = comparisons_path(plan.folder)
    groups: Groups = {}
    for run in plan.runs:
        folder = RunFolder(plan.run_folder(run))
        if folder.result_path.is_file() and folder.predictions_path.is_file():
            groups.setdefault((run.cell.task_name, run.cell.model_name), []).append((run, folder))
    schema = SCHEMA.with_metadata({MADE_FROM: _digest(groups)})
    if path.is_file() and (pq.read_schema(path).metadata or {}).get(MADE_FROM) == schema.metadata[MADE_FROM]:
        return path
    with (
        complete_file(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        for group in groups.values():
            rows = pa.concat_tables([_rows(run, folder) for run, folder in group]).unify_dictionaries()
            writer.write_table(rows.replace_schema_metadata(schema.metadata), row_group_size=len(rows))
    return path


def _digest(groups: Groups) -> bytes:
    """Return a hash of the results of all runs, in order."""
    texts = [f"{run.name} {file_digest(folder.result_path)}" for g in groups.values() for run, folder in g]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest().encode()


def _rows(run: Run, folder: RunFolder) -> pa.Table:
    table = pq.read_table(folder.predictions_path)
    logits = np.stack([table[name].to_numpy() for name in table.column_names if name.startswith("logit_")])
    predicted = logits[0] if run.cell.task.kind == "regression" else logits.argmax(0)
    cell = run.cell
    names = {"task": cell.task_name, "model": cell.model_name, "variant": cell.variant}
    columns = {
        **{key: pa.array([value] * len(table)).cast(NAMES) for key, value in names.items()},
        "seed": pa.array(np.full(len(table), run.seed, np.int32)),
        "split": pa.array(table["split"].to_pylist()).cast(NAMES),
        "row": pa.array(table["row"].to_numpy().astype(np.int32)),
        "label": pa.array(table["label"].to_numpy().astype(np.float32)),
        "prediction": pa.array(predicted.astype(np.float32)),
    }
    return pa.table(columns, schema=SCHEMA)
