"""The MLflow store: a sqlite file by default, or the database or server in MLFLOW_TRACKING_URI.

It is written through MLflow's public client only.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.tracking.entry import CONTENT, Entry
from harness.util.errors import HarnessError
from harness.util.lock import hold_lock
from harness.util.uris import check_reachable, display_uri

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

LOCK, LOCK_SECONDS = ".mlflow.lock", 1800.0
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
METRICS_PER_CALL, PARAMS_PER_CALL, PAGE = 1000, 100, 1000
"""Limits of MLflow for one call."""


@dataclass(frozen=True)
class StoredRun:
    """A run in the store."""

    id: str
    tags: dict[str, str]

    @property
    def identity(self) -> tuple[str, str]:
        """Run key and variant."""
        return self.tags.get("run_key", ""), self.tags.get("variant", "")


class Store:
    """The runs of one MLflow experiment."""

    def __init__(self, client: "MlflowClient", experiment: str) -> None:
        """``experiment`` is MLflow's id of the experiment."""
        self.client, self.experiment = client, experiment

    def runs(self) -> list[StoredRun]:
        """Return every run that is not deleted."""
        runs: list[StoredRun] = []
        token = None
        while True:
            page = self.client.search_runs([self.experiment], max_results=PAGE, page_token=token)
            runs += [StoredRun(run.info.run_id, dict(run.data.tags)) for run in page]
            token = page.token
            if not token:
                return runs

    def add(self, entries: list[Entry]) -> None:
        """Add one run per entry. The tag CONTENT comes last, so an interrupted run is recognised."""
        for entry in entries:
            self._add(entry)

    def _add(self, entry: Entry) -> None:
        from mlflow.entities import Metric, Param, RunTag

        tags = {key: value for key, value in entry.tags.items() if key != CONTENT}
        run = self.client.create_run(self.experiment, start_time=entry.time, run_name=entry.name)
        identity = run.info.run_id
        metrics = [Metric(name, value, entry.time, step) for name, value, step in entry.metrics]
        params = [Param(key, value) for key, value in entry.params.items()]
        self.client.log_batch(
            identity,
            metrics=metrics[: METRICS_PER_CALL - PARAMS_PER_CALL - len(tags)],
            params=params[:PARAMS_PER_CALL],
            tags=[RunTag(key, value) for key, value in tags.items()],
        )
        for start in range(METRICS_PER_CALL - PARAMS_PER_CALL - len(tags), len(metrics), METRICS_PER_CALL):
            self.client.log_batch(identity, metrics=metrics[start : start + METRICS_PER_CALL])
        for start in range(PARAMS_PER_CALL, len(params), PARAMS_PER_CALL):
            self.client.log_batch(identity, params=params[start : start + PARAMS_PER_CALL])
        for path in entry.artifacts:
            self.client.log_artifact(identity, str(path))
        self.client.set_tag(identity, CONTENT, entry.tags[CONTENT])
        self.client.set_terminated(identity, entry.status, end_time=entry.time)


def tracking_uri(results: Path) -> str:
    """Return MLFLOW_TRACKING_URI, or the sqlite file below ``results``."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(results / 'mlflow.db').resolve()}"


def create_store(results: Path) -> str:
    """Create the schema of the store if it is missing; return the store's address.

    Raises:
        HarnessError: the store cannot be reached or written.
    """
    with store_lock(results):
        _open_client(results)
    return tracking_uri(results)


def open_store(results: Path, experiment: str) -> Store:
    """Return the store of an experiment, created if it is missing; the store's lock must be held.

    Raises:
        HarnessError: the store cannot be reached or written.
    """
    client = _open_client(results)
    stored = client.get_experiment_by_name(experiment)
    if stored:
        _check_artifacts(stored.artifact_location, tracking_uri(results))
    return Store(client, str(stored.experiment_id) if stored else _create(client, results, experiment))


def _open_client(results: Path) -> "MlflowClient":
    """Return a client of the store. Its first query creates the schema, which only one process may do."""
    uri = tracking_uri(results)
    check_reachable(uri, "MLFLOW_TRACKING_URI")
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    try:
        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    except (MlflowException, ImportError) as error:
        reason = str(error).splitlines()[0]
        raise HarnessError(f"the MLflow store {display_uri(uri)} cannot be used: {reason}") from None
    return client


def _check_artifacts(location: str, uri: str) -> None:
    """Raise HarnessError if only an MLflow server can write the artifacts, and ``uri`` is a database."""
    if location.startswith("mlflow-artifacts:") and uri.startswith(DATABASES):
        raise HarnessError(
            f"{location}: an MLflow server stores the artifacts of this experiment; set MLFLOW_TRACKING_URI "
            "to the address of the server instead of its database"
        )


def _create(client: "MlflowClient", results: Path, experiment: str) -> str:
    """Create the experiment; a server decides by itself where artifacts are stored."""
    place = (results / "mlflow-artifacts" / experiment).resolve().as_uri()
    local = tracking_uri(results).startswith(DATABASES)
    return str(client.create_experiment(experiment, place if local else None))


@contextmanager
def store_lock(results: Path) -> Iterator[None]:
    """Hold the lock of the store: one process of this clone at a time.

    Raises:
        HarnessError: another process holds it for LOCK_SECONDS.
    """
    with hold_lock(results, LOCK, LOCK_SECONDS):
        yield
