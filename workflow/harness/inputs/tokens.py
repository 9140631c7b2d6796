"""Token ids of a task under a model's tokenizer: made once, memory-mapped, shared by all runs."""

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.inputs.rows import Row, content_order
from harness.plan.keys import file_digest

ARRAYS = ("ids", "types", "offsets", "labels", "order")
STAMP = "tokens.json"
"""Written last, with the hash of every file: a folder without it is not whole."""


@dataclass(frozen=True)
class Tokens:
    """One split. Row r holds ``ids[offsets[r]:offsets[r + 1]]``."""

    ids: np.ndarray
    """Token ids of all rows, one after the other; int32."""
    types: np.ndarray
    """0 for the first text and 1 for the second; int8."""
    offsets: np.ndarray
    """[rows + 1], int64"""
    labels: np.ndarray
    """[rows], int64 class numbers or float64 scores."""
    order: np.ndarray
    """Row numbers by content hash (``harness.inputs.rows.content_order``)."""
    padding_id: int

    def row(self, number: int) -> np.ndarray:
        """Return the token ids of one row."""
        ids: np.ndarray = self.ids[self.offsets[number] : self.offsets[number + 1]]
        return ids

    @property
    def lengths(self) -> np.ndarray:
        """Return the number of tokens of each row."""
        lengths: np.ndarray = np.diff(self.offsets)
        return lengths


def tokenize(splits: dict[str, list[Row]], tokenizer: Any, max_length: int, folder: Path) -> dict[str, Any]:
    """Write the token ids of ``splits`` below ``folder``, whole or not at all; return what was seen."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        facts: dict[str, Any] = {"max_length": max_length, "padding_id": tokenizer.pad_token_id}
        facts |= {"splits": {}, "files": {}}
        for split, rows in splits.items():
            arrays, cut = _arrays(rows, tokenizer, max_length)
            (building / split).mkdir()
            for name in ARRAYS:
                file = building / split / f"{name}.npy"
                np.save(file, arrays[name])
                facts["files"][f"{split}/{file.name}"] = file_digest(file)
            facts["splits"][split] = {
                "rows": len(rows),
                "tokens": len(arrays["ids"]),
                "longest": int(np.diff(arrays["offsets"]).max()),
                "cut": cut,
            }
        (building / STAMP).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        building.chmod(0o755)
        _put_in_place(building, folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return facts


def damage(folder: Path) -> str | None:
    """Return what is wrong with the token ids in ``folder``, None if they are as they were written."""
    try:
        files = json.loads((folder / STAMP).read_text(encoding="utf-8"))["files"]
    except FileNotFoundError:
        return "not there"
    except (ValueError, KeyError, TypeError):
        return f"{STAMP} is not readable"
    for name, expected in files.items():
        if not (folder / name).is_file():
            return f"{name} is missing"
        if file_digest(folder / name) != expected:
            return f"{name} has another hash than when it was written"
    return None


def _put_in_place(building: Path, folder: Path) -> None:
    try:
        building.rename(folder)
    except OSError:
        # Something lies there: an interrupted or damaged copy, or an equal one of a faster process.
        # File by file, the stamp last: whoever reads it meanwhile keeps what he has open.
        for path in [*building.glob("*/*.npy"), building / STAMP]:
            target = folder / path.relative_to(building)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)


def _arrays(rows: list[Row], tokenizer: Any, max_length: int) -> tuple[dict[str, np.ndarray], int]:
    """Return the arrays of one split, and how many rows were cut to ``max_length``."""
    columns = [list(column) for column in zip(*(row.texts for row in rows), strict=True)]
    encoded = tokenizer(*columns, truncation=False, return_token_type_ids=True, verbose=False)
    cut = sum(len(ids) > max_length for ids in encoded["input_ids"])
    if cut:
        encoded = tokenizer(*columns, truncation=True, max_length=max_length, return_token_type_ids=True)
    lengths = [len(ids) for ids in encoded["input_ids"]]
    scores = isinstance(rows[0].label, float)
    return {
        "ids": np.concatenate([np.asarray(ids, dtype=np.int32) for ids in encoded["input_ids"]]),
        "types": np.concatenate([np.asarray(ids, dtype=np.int8) for ids in encoded["token_type_ids"]]),
        "offsets": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        "labels": np.array([row.label for row in rows], dtype=np.float64 if scores else np.int64),
        "order": content_order(rows),
    }, cut


def open_tokens(folder: Path, split: str) -> Tokens:
    """Return one split, memory-mapped."""
    facts = json.loads((folder / STAMP).read_text(encoding="utf-8"))
    arrays = {name: np.load(folder / split / f"{name}.npy", mmap_mode="r") for name in ARRAYS}
    return Tokens(**arrays, padding_id=facts["padding_id"])


def cut_texts(folder: Path) -> dict[str, int]:
    """Return how many texts of each split were cut to the maximum length."""
    splits = json.loads((folder / STAMP).read_text(encoding="utf-8"))["splits"]
    return {split: facts["cut"] for split, facts in splits.items()}
