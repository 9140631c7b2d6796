"""Comparisons: what each run said of each reported example, for paired statistics."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from harness.plan.grid import Run
from harness.plan.plan import Plan
from harness.report.entry import content_hash
from harness.runs.atomic import whole_file
from harness.runs.folder import RunFolder

MADE_FROM = b"made_from"
"""Metadata of the file: a hash of the results that it was made from."""
Found = tuple[Run, RunFolder]
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
    predictions (missing, failed, diverged) has no rows. The runs of a task and model are one row group, so
    that they are read at once. A file that was made from the same results is left as it is.
    """
    path = comparisons_path(plan.folder)
    groups: dict[tuple[str, str], list[Found]] = {}
    for run in plan.runs:
        folder = RunFolder(plan.run_folder(run))
        if folder.result_path.is_file() and folder.predictions_path.is_file():
            groups.setdefault((run.cell.task_name, run.cell.model_name), []).append((run, folder))
    schema = SCHEMA.with_metadata({MADE_FROM: _digest(groups)})
    if path.is_file() and pq.read_schema(path).metadata.get(MADE_FROM) == schema.metadata[MADE_FROM]:
        return path
    with (
        whole_file(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        for found in groups.values():
            rows = pa.concat_tables([_rows(run, folder) for run, folder in found]).unify_dictionaries()
            writer.write_table(rows.replace_schema_metadata(schema.metadata), row_group_size=len(rows))
    return path


def _digest(groups: dict[tuple[str, str], list[Found]]) -> bytes:
    """Return a hash of the results of all runs, in order."""
    texts = [f"{run.name} {content_hash(folder.result_path)}" for g in groups.values() for run, folder in g]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest().encode()


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
