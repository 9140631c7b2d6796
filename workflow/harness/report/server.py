"""Runs on an MLflow server, through MLflow's client."""

from typing import TYPE_CHECKING

from harness.report.entry import CONTENT, Entry
from harness.report.store import Curves, Stored

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

PAGE = 1000
BATCH = 800
"""Metrics in one request; a server takes 1,000 metrics, parameters and tags together."""


class ServerStore:
    """One MLflow experiment, seen through the client; works with any tracking URI."""

    def __init__(self, client: "MlflowClient", experiment: str) -> None:
        self.client = client
        self.experiment = experiment

    def runs(self) -> list[Stored]:
        """Return every run that is not deleted."""
        found: list[Stored] = []
        token = None
        while True:
            page = self.client.search_runs([self.experiment], max_results=PAGE, page_token=token)
            found += [Stored(r.info.run_id, dict(r.data.tags), dict(r.data.metrics)) for r in page]
            token = page.token
            if not token:
                return found

    def curves(self, metrics: set[str]) -> Curves:
        """Return the whole history of some metrics."""
        found: Curves = {}
        for run in self.runs():
            for metric in metrics & run.metrics.keys():
                history = self.client.get_metric_history(run.id, metric)
                found[run.id, metric] = sorted((point.step, point.value) for point in history)
        return found

    def add(self, entries: list[Entry]) -> None:
        """Add one run an entry; the tag with the content's hash comes last and makes it count."""
        for entry in entries:
            self._add(entry)

    def _add(self, entry: Entry) -> None:
        from mlflow.entities import Metric, Param, RunTag

        run = self.client.create_run(
            self.experiment, start_time=entry.time, run_name=entry.name, tags={"run_key": entry.key}
        )
        run_id = run.info.run_id
        for path in entry.artifacts:
            self.client.log_artifact(run_id, str(path))
        metrics = [Metric(name, value, entry.time, step) for name, value, step in entry.metrics]
        params = [Param(name, value) for name, value in entry.params.items()]
        tags = [RunTag(name, value) for name, value in entry.tags.items() if name != CONTENT]
        self.client.log_batch(run_id, metrics=metrics[:BATCH], params=params, tags=tags)
        for start in range(BATCH, len(metrics), BATCH):
            self.client.log_batch(run_id, metrics=metrics[start : start + BATCH])
        self.client.set_terminated(run_id, entry.status, entry.time)
        self.client.set_tag(run_id, CONTENT, entry.tags[CONTENT])
