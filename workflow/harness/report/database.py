"""Runs in MLflow's database, many in one transaction.

MLflow's client writes a run in about ten transactions (30 ms on sqlite); here hundreds share one.
The rows are those that the client writes, in MLflow's own tables: a test compares the two.
"""

import shutil
import uuid
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from harness.errors import HarnessError
from harness.report.entry import Entry
from harness.report.store import Curves, Stored

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

TOGETHER = 500
"""Runs in one transaction."""


class DatabaseStore:
    """One MLflow experiment, seen through its tables."""

    def __init__(self, client: "MlflowClient", experiment: str) -> None:
        from mlflow.store.tracking.dbmodels import models

        self.client = client
        self.experiment = int(experiment)
        self.engine = client._tracking_client.store.engine
        self.table = {
            name: getattr(models, f"Sql{name}").__table__
            for name in ("Run", "Tag", "Param", "Metric", "LatestMetric")
        }

    def runs(self) -> list[Stored]:
        """Return every run that is not deleted."""
        tags, metrics = self.table["Tag"].c, self.table["LatestMetric"].c
        found: dict[str, Stored] = {}
        for run, key, value in self._select(tags.key, tags.value, of=tags):
            found.setdefault(run, Stored(run, {}, {})).tags[key] = value
        for run, key, value in self._select(metrics.key, metrics.value, of=metrics):
            found[run].metrics[key] = value
        return list(found.values())

    def curves(self, metrics: set[str]) -> Curves:
        """Return the whole history of some metrics."""
        table = self.table["Metric"].c
        rows = self._select(table.key, table.step, table.value, of=table, where=table.key.in_(metrics))
        found: Curves = defaultdict(list)
        for run, key, step, value in rows:
            found[run, key].append((step, value))
        return {place: sorted(curve) for place, curve in found.items()}

    def _select(self, *columns: Any, of: Any, where: Any = True) -> list[Any]:
        """Return (run id, columns) of a table for the experiment's active runs."""
        from sqlalchemy import select

        run = self.table["Run"].c
        query = select(of.run_uuid, *columns).where(
            of.run_uuid == run.run_uuid,
            run.experiment_id == self.experiment,
            run.lifecycle_stage == "active",
            where,
        )
        with self.engine.connect() as connection:
            return list(connection.execute(query))

    def add(self, entries: list[Entry]) -> None:
        """Add one run an entry, whole or not at all."""
        location = self.client.get_experiment(str(self.experiment)).artifact_location
        for start in range(0, len(entries), TOGETHER):
            part = [(uuid.uuid4().hex, entry) for entry in entries[start : start + TOGETHER]]
            for run, entry in part:
                _copy(entry.artifacts, f"{location}/{run}/artifacts")
            with self.engine.begin() as connection:
                for name, rows in self._rows(part, location).items():
                    if rows:
                        connection.execute(self.table[name].insert(), rows)

    def _rows(self, part: list[tuple[str, Entry]], location: str) -> dict[str, list[dict[str, Any]]]:
        """Return the rows of each table."""
        return {
            "Run": [self._run_row(run, entry, location) for run, entry in part],
            "Tag": [
                {"run_uuid": run, "key": key, "value": value}
                for run, entry in part
                for key, value in {"mlflow.runName": entry.name, **entry.tags}.items()
            ],
            "Param": [
                {"run_uuid": run, "key": key, "value": value}
                for run, entry in part
                for key, value in entry.params.items()
            ],
            "Metric": [row for run, entry in part for row in _metric_rows(run, entry, entry.metrics)],
            "LatestMetric": [
                row for run, entry in part for row in _metric_rows(run, entry, _latest(entry.metrics))
            ],
        }

    def _run_row(self, run: str, entry: Entry, location: str) -> dict[str, Any]:
        return {
            "run_uuid": run,
            "name": entry.name,
            "source_type": "UNKNOWN",
            "source_name": "",
            "entry_point_name": "",
            "user_id": "unknown",
            "status": entry.status,
            "start_time": entry.time,
            "end_time": entry.time,
            "deleted_time": None,
            "source_version": "",
            "lifecycle_stage": "active",
            "artifact_uri": f"{location}/{run}/artifacts",
            "experiment_id": self.experiment,
        }


def _latest(metrics: list[tuple[str, float, int]]) -> list[tuple[str, float, int]]:
    """Return each metric at its last step; of several values there, the largest, as MLflow does."""
    last: dict[str, tuple[int, float]] = {}
    for name, value, step in metrics:
        last[name] = max(last.get(name, (step, value)), (step, value))
    return [(name, value, step) for name, (step, value) in last.items()]


def _metric_rows(run: str, entry: Entry, metrics: list[tuple[str, float, int]]) -> Iterator[dict[str, Any]]:
    for name, value, step in metrics:
        point = {"timestamp": entry.time, "step": step, "is_nan": False}
        yield {"run_uuid": run, "key": name, "value": value, **point}


def _copy(files: list[Path], uri: str) -> None:
    """Copy files to where MLflow looks for a run's artifacts.

    Raises:
        HarnessError: artifacts do not lie on a disk of this machine.
    """
    parts = urlsplit(uri)
    if parts.scheme not in ("", "file"):
        raise HarnessError(
            f"{uri}: artifacts of this experiment lie on no local disk; "
            "let MLFLOW_TRACKING_URI name the MLflow server in place of its database"
        )
    folder = Path(unquote(parts.path))
    folder.mkdir(parents=True)
    for path in files:
        shutil.copyfile(path, folder / path.name)
