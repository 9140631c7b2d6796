"""The MLflow store: a sqlite file by default, another database or a server by MLFLOW_TRACKING_URI."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from harness.errors import HarnessError
from harness.report.entry import Entry

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

LOCK_SECONDS = 1800
REACH_SECONDS = 5
PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mssql": 1433}
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
Curves = dict[tuple[str, str], list[tuple[int, float]]]
"""(run id, metric) to (step, value), in the order of steps."""


@dataclass(frozen=True)
class Stored:
    """What a store holds of one run."""

    id: str
    tags: dict[str, str]
    metrics: dict[str, float]
    """The value of each metric at its last step."""


def identity_of(run: Stored) -> tuple[str, str]:
    """Return run key and variant: two variants of an experiment may come to the same arguments."""
    return run.tags.get("run_key", ""), run.tags.get("variant", "")


class Store(Protocol):
    """The runs of one MLflow experiment."""

    client: "MlflowClient"

    def runs(self) -> list[Stored]:
        """Return every run that is not deleted."""

    def curves(self, metrics: set[str]) -> Curves:
        """Return the whole history of some metrics."""

    def add(self, entries: list[Entry]) -> None:
        """Add one run an entry."""


def tracking_uri(results: Path) -> str:
    """Return MLFLOW_TRACKING_URI, or the sqlite file below ``results``."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(results / 'mlflow.db').resolve()}"


def open_store(results: Path, experiment: str) -> Store:
    """Return the store of an experiment, made now if need be.

    Processes that open a fresh database together break it, so the schema is made under a lock.

    Raises:
        HarnessError: the store cannot be reached or written.
    """
    uri = tracking_uri(results)
    with store_lock(results):
        client = open_client(results)
        found = client.get_experiment_by_name(experiment)
        identity = str(found.experiment_id) if found else _create(client, uri, results, experiment)
    if uri.startswith(DATABASES):
        from harness.report.database import DatabaseStore

        return DatabaseStore(client, identity)
    from harness.report.server import ServerStore

    return ServerStore(client, identity)


def open_client(results: Path) -> "MlflowClient":
    """Return a client of the store, its schema made if need be; the store's lock must be held.

    Raises:
        HarnessError: the store cannot be reached or written.
    """
    uri = tracking_uri(results)
    must_answer(uri, "MLFLOW_TRACKING_URI")
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    try:
        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    except (MlflowException, ImportError) as error:
        reason = str(error).splitlines()[0]
        raise HarnessError(f"the MLflow store {shown_uri(uri)} cannot be used: {reason}") from None
    return client


def _create(client: "MlflowClient", uri: str, results: Path, experiment: str) -> str:
    """Make the experiment; a server decides by itself where artifacts lie."""
    place = (results / "mlflow-artifacts" / experiment).resolve().as_uri()
    return str(client.create_experiment(experiment, place if uri.startswith(DATABASES) else None))


def must_answer(uri: str, key: str) -> None:
    """Fail within seconds where nothing listens: clients try for minutes.

    Raises:
        HarnessError: no connection to the host that ``uri`` names; ``key`` says where it was named.
    """
    parts = urlsplit(uri)
    scheme = parts.scheme.partition("+")[0]
    if parts.hostname is None or scheme not in PORTS:
        return
    address = (parts.hostname, parts.port or PORTS[scheme])
    try:
        socket.create_connection(address, timeout=REACH_SECONDS).close()
    except OSError as error:
        raise HarnessError(
            f"{key} {shown_uri(uri)}: nothing answers at {address[0]}:{address[1]} "
            f"({error.strerror or error})"
        ) from None


def shown_uri(uri: str) -> str:
    """Return ``uri`` without a password."""
    parts = urlsplit(uri)
    return uri if parts.password is None else uri.replace(f":{parts.password}@", ":***@")


@contextmanager
def store_lock(results: Path) -> Iterator[None]:
    """Hold the lock of the store: one process of this clone at a time.

    Raises:
        HarnessError: another process holds it for half an hour.
    """
    from filelock import FileLock, Timeout

    results.mkdir(parents=True, exist_ok=True)
    lock = FileLock(results / ".mlflow.lock", is_singleton=True)
    try:
        lock.acquire(timeout=LOCK_SECONDS)
    except Timeout:
        raise HarnessError(
            f"{results}/.mlflow.lock is held by another process for {LOCK_SECONDS} s"
        ) from None
    try:
        yield
    finally:
        lock.release()
