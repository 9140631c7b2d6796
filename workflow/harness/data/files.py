"""Readers of data files: the formats of a data root, and files inside an installed package."""

import csv
import gzip
import json
from pathlib import Path

import pandas as pd

from harness.config.task import Package
from harness.data.packages import package_file
from harness.util.errors import HarnessError

ENDINGS = ("jsonl.gz", "parquet", "csv", "tsv")


def find_file(folder: Path, stem: str) -> Path | None:
    """Return the file ``<folder>/<stem>.<ending>`` with the first ending that exists, or None."""
    paths = (folder / f"{stem}.{ending}" for ending in ENDINGS)
    return next((path for path in paths if path.is_file()), None)


def read_file(path: Path) -> pd.DataFrame:
    """Return the table in a file of a data root. The first line of csv and tsv files names the columns.

    Raises:
        HarnessError: the file is damaged; the message names the file and, if possible, the line.
    """
    try:
        if path.name.endswith(".jsonl.gz"):
            return _json_lines(path)
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        if path.suffix == ".csv":
            return pd.read_csv(path, keep_default_na=False, na_filter=False)
        return _tab_separated(path)
    except (ValueError, OSError, EOFError) as error:
        raise HarnessError(f"{path}: not readable: {error}") from None


def _json_lines(path: Path) -> pd.DataFrame:
    rows = []
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise HarnessError(f"{path}: row {number}: not readable as JSON: {error}") from None
    return pd.DataFrame(rows)


def _tab_separated(path: Path) -> pd.DataFrame:
    """Read GLUE's format: quote marks are text, and every line has as many fields as the first one."""
    with path.open(encoding="utf-8", newline="\n") as stream:
        lines = [line.rstrip("\r\n").split("\t") for line in stream]
    if not lines:
        raise HarnessError(f"{path}: the file is empty")
    for number, fields in enumerate(lines, start=1):
        if len(fields) != len(lines[0]):
            raise HarnessError(f"{path}: line {number}: {len(fields)} fields, expected {len(lines[0])}")
    return pd.DataFrame(lines[1:], columns=lines[0])


def read_package(package: Package, split: str) -> tuple[pd.DataFrame, Path]:
    """Return the table of a split inside an installed package, and the path of its file.

    Raises:
        HarnessError: the package is missing or has another version, or the split is not declared.
    """
    if split not in package.files:
        raise HarnessError(
            f"the package {package.distribution} has no split {split!r}; "
            f"the task declares: {', '.join(package.files)}"
        )
    path = package_file(package.distribution, package.version, package.module, package.files[split])
    table = pd.read_csv(
        path,
        sep=package.separator,
        header=0 if package.header else None,
        usecols=list(package.columns.values()),  # the number of other columns may vary, as in STS-B
        quoting=csv.QUOTE_MINIMAL if package.quoting else csv.QUOTE_NONE,
        keep_default_na=False,
        na_filter=False,
        encoding="utf-8",
    )
    table = table.rename(columns={column: name for name, column in package.columns.items()})
    for column, values in package.exclude.items():
        table = table[~table[column].isin(values)]
    if package.unique is not None:
        table = table.drop_duplicates(package.unique)
    return table.reset_index(drop=True), path
