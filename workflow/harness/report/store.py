"""The MLflow store: a sqlite file by default, a server where MLFLOW_TRACKING_URI names one."""

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HarnessError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

LOCK_SECONDS = 300


def tracking_uri(results: Path) -> str:
    """Return MLFLOW_TRACKING_URI, or the sqlite file below ``results``."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(results / 'mlflow.db').resolve()}"


def open_store(results: Path) -> "MlflowClient":
    """Return a client of the store, its schema made if need be.

    Processes that open a fresh sqlite file together break it, so the schema is made under a lock.

    Raises:
        HarnessError: the store cannot be reached or written.
    """
    from filelock import FileLock, Timeout

    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    results.mkdir(parents=True, exist_ok=True)
    uri = tracking_uri(results)
    try:
        with FileLock(results / ".mlflow.lock", timeout=LOCK_SECONDS):
            client = MlflowClient(tracking_uri=uri)
            client.search_experiments(max_results=1)
    except Timeout:
        raise HarnessError(
            f"{results}/.mlflow.lock is held by another process for {LOCK_SECONDS} s"
        ) from None
    except MlflowException as error:
        raise HarnessError(f"the MLflow store {uri} cannot be used: {str(error).splitlines()[0]}") from None
    return client
