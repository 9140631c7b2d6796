"""Token ids of a task for a model's tokenizer: computed once, memory-mapped, shared by all runs."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from harness.data.rows import Row, content_order
from harness.util.files import hidden_beside
from harness.util.hashing import digest, file_digest

ARRAYS = ("ids", "types", "offsets", "labels", "order")
STAMP = "tokens.json"


@dataclass(frozen=True)
class Tokens:
    """The token ids of one split. Row r has the ids ``ids[offsets[r]:offsets[r + 1]]``."""

    ids: np.ndarray
    """[tokens], int32: token ids of all rows, concatenated."""
    types: np.ndarray
    """[tokens], int8: token type ids, 0 for the first text and 1 for the second."""
    offsets: np.ndarray
    """[rows + 1], int64: start of each row in ``ids``."""
    labels: np.ndarray
    """[rows]: class numbers (int64) or scores (float64)."""
    order: np.ndarray
    """[rows], int64: row numbers sorted by content hash (``harness.data.rows.content_order``)."""
    padding_id: int

    def row(self, number: int) -> np.ndarray:
        """Return the token ids of one row."""
        ids: np.ndarray = self.ids[self.offsets[number] : self.offsets[number + 1]]
        return ids

    @property
    def lengths(self) -> np.ndarray:
        """[rows]: number of tokens of each row."""
        lengths: np.ndarray = np.diff(self.offsets)
        return lengths


class SplitCounts(BaseModel):
    """Counts of one tokenised split."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int
    tokens: int
    longest: int
    """Number of tokens of the longest row."""
    truncated: int
    """Number of rows that were truncated to the maximum length."""


class TokenStamp(BaseModel):
    """``tokens.json``, which is written last: a folder without it is incomplete."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_length: int
    padding_id: int
    splits: dict[str, SplitCounts]
    files: dict[str, str]
    """Path of each array, relative to the folder, to its SHA-256."""


def tokenize(
    splits: dict[str, list[Row]], tokenizer: Any, max_length: int, folder: Path
) -> dict[str, SplitCounts]:
    """Write the token ids of ``splits`` below ``folder`` atomically; return the counts of each split."""
    building = hidden_beside(folder)
    building.mkdir(parents=True)
    counts: dict[str, SplitCounts] = {}
    files: dict[str, str] = {}
    try:
        for split, rows in splits.items():
            arrays, truncated = _arrays(rows, tokenizer, max_length)
            files |= _write_arrays(arrays, building, split)
            counts[split] = SplitCounts(
                rows=len(rows),
                tokens=len(arrays["ids"]),
                longest=int(np.diff(arrays["offsets"]).max()),
                truncated=truncated,
            )
        stamp = TokenStamp(
            max_length=max_length, padding_id=tokenizer.pad_token_id, splits=counts, files=files
        )
        (building / STAMP).write_text(stamp.model_dump_json(indent=1) + "\n", encoding="utf-8")
        _put_in_place(building, folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return counts


def _write_arrays(arrays: dict[str, np.ndarray], folder: Path, split: str) -> dict[str, str]:
    """Write the arrays of one split; return the path and the hash of each file."""
    (folder / split).mkdir()
    hashes = {}
    for name in ARRAYS:
        file = folder / split / f"{name}.npy"
        np.save(file, arrays[name])
        hashes[f"{split}/{file.name}"] = file_digest(file)
    return hashes


def read_stamp(folder: Path) -> TokenStamp:
    """Return the stamp of a folder of token ids.

    Raises:
        OSError: there is no stamp.
        ValueError: the stamp is damaged, or has another version.
    """
    return TokenStamp.model_validate_json((folder / STAMP).read_text(encoding="utf-8"))


def tokens_hash(folder: Path) -> str:
    """Return the SHA-256 of all token ids, types, labels and row orders in ``folder``."""
    return digest(read_stamp(folder).files)


def damage(folder: Path) -> str | None:
    """Return a description of the damage to the token ids in ``folder``, or None if they are intact."""
    try:
        stamp = read_stamp(folder)
    except FileNotFoundError:
        return "missing"
    except ValueError:
        return f"{STAMP} is damaged, or has another version"
    for name, expected in stamp.files.items():
        if not (folder / name).is_file():
            return f"{name} is missing"
        if file_digest(folder / name) != expected:
            return f"{name} was changed after it was written (its hash differs)"
    return None


def _put_in_place(building: Path, folder: Path) -> None:
    try:
        building.rename(folder)
    except OSError:
        # The folder exists: an incomplete or damaged copy, or an equal one of a faster process. Replace each
        # file, the stamp last, so that a process that is reading the folder keeps its open files.
        for path in [*building.glob("*/*.npy"), building / STAMP]:
            target = folder / path.relative_to(building)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)


def _arrays(rows: list[Row], tokenizer: Any, max_length: int) -> tuple[dict[str, np.ndarray], int]:
    """Return the arrays of one split, and the number of rows that were truncated to ``max_length``."""
    columns = [list(column) for column in zip(*(row.texts for row in rows), strict=True)]
    encoded = tokenizer(*columns, truncation=False, return_token_type_ids=True, verbose=False)
    truncated = sum(len(ids) > max_length for ids in encoded["input_ids"])
    if truncated:
        encoded = tokenizer(*columns, truncation=True, max_length=max_length, return_token_type_ids=True)
    lengths = [len(ids) for ids in encoded["input_ids"]]
    scores = isinstance(rows[0].label, float)
    return {
        "ids": np.concatenate([np.asarray(ids, dtype=np.int32) for ids in encoded["input_ids"]]),
        "types": np.concatenate([np.asarray(ids, dtype=np.int8) for ids in encoded["token_type_ids"]]),
        "offsets": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        "labels": np.array([row.label for row in rows], dtype=np.float64 if scores else np.int64),
        "order": content_order(rows),
    }, truncated


def open_tokens(folder: Path, split: str) -> Tokens:
    """Return the token ids of one split, memory-mapped."""
    arrays = {name: np.load(folder / split / f"{name}.npy", mmap_mode="r") for name in ARRAYS}
    return Tokens(**arrays, padding_id=read_stamp(folder).padding_id)


def truncated_rows(folder: Path) -> dict[str, int]:
    """Return the number of truncated rows of each split."""
    return {split: counts.truncated for split, counts in read_stamp(folder).splits.items()}
