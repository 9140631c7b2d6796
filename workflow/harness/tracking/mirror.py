"""The mirror: MLflow has exactly one run for each run folder and each finished study."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.config.plan_file import read_plan_file
from harness.plan.searches import searches as finished_searches
from harness.runs.failures import unfinished
from harness.runs.folder import RunFolder
from harness.tracking.entry import CONTENT, Entry, result_entry, unfinished_entry
from harness.tracking.store import Store, StoredRun, open_store, store_lock
from harness.tracking.studies import study_entry, trial_entries
from harness.util.hashing import file_digest

SUPERSEDED = "superseded"


@dataclass
class MirrorCounts:
    """Runs of the store that were added, left as they were, or marked as superseded."""

    added: int = 0
    kept: int = 0
    superseded: int = 0

    @property
    def text(self) -> str:
        """``3 added, 21 kept, 0 superseded``."""
        return ", ".join(f"{count} {name}" for name, count in vars(self).items())


def mirror(results: Path, experiment: str) -> MirrorCounts:
    """Bring the store in line with the run folders of an experiment.

    It can be repeated, interrupted and started twice at once: a lock admits one process at a time, and a
    stored run counts only if its last tag, the hash of its content, is present and equal.
    """
    with store_lock(results):
        return _Mirror(open_store(results, experiment), results / experiment).run()


class _Mirror:
    """Compares the store with an experiment's folder and adds what is missing."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.folder = store, folder
        self.counts = MirrorCounts()
        self.stored: dict[tuple[str, str], list[StoredRun]] = {}
        for run in store.runs():
            self.stored.setdefault(run.identity, []).append(run)
        self.present: set[tuple[str, str]] = set()

    def run(self) -> MirrorCounts:
        """Add missing runs, studies and trials; mark runs whose folder is gone."""
        self._add(run_entries(self.folder))
        searches = finished_searches(self.folder)
        self._add(map(study_entry, searches))
        if searches:
            ids = {(run.identity, run.tags.get(CONTENT)): run.id for run in self.store.runs()}
            for search in searches:
                parent = study_entry(search)
                self._add(trial_entries(search, ids[parent.identity, parent.tags[CONTENT]]))
        self._mark_superseded()
        return self.counts

    def _add(self, entries: Iterable[Entry]) -> None:
        missing = [entry for entry in entries if not self._is_stored(entry)]
        self.store.add(missing)
        self.counts.added += len(missing)

    def _is_stored(self, entry: Entry) -> bool:
        """Return whether the entry is in the store; delete every other run with its identity."""
        self.present.add(entry.identity)
        runs = self.stored.get(entry.identity, [])
        equal = [run for run in runs if run.tags.get(CONTENT) == entry.tags[CONTENT]][:1]
        for run in runs:
            if run not in equal:
                self.store.client.delete_run(run.id)
        if equal and SUPERSEDED in equal[0].tags:
            self.store.client.delete_tag(equal[0].id, SUPERSEDED)
        self.counts.kept += len(equal)
        return bool(equal)

    def _mark_superseded(self) -> None:
        for identity, runs in self.stored.items():
            for run in runs:
                if identity not in self.present and SUPERSEDED not in run.tags:
                    self.store.client.set_tag(run.id, SUPERSEDED, "its run folder is gone")
                    self.counts.superseded += 1


def run_entries(folder: Path) -> Iterator[Entry]:
    """Yield the entry of each run folder of an experiment with a result or an attempt."""
    keys = _planned_keys(folder)
    for path in sorted((folder / "runs").glob("*/*/*/seed*")):
        run_folder = RunFolder(path)
        result = run_folder.result()
        if result is not None:
            yield result_entry(run_folder, result, file_digest(run_folder.result_path))
            continue
        state, key = unfinished(run_folder), keys.get("/".join(path.parts[-4:]))
        if state is not None and key is not None:
            yield unfinished_entry(run_folder, key, state, file_digest(run_folder.attempt_logs()[-1]))


def _planned_keys(folder: Path) -> dict[str, str]:
    """Return the run keys in plan.json, by run folder."""
    path = folder / "plan.json"
    runs = read_plan_file(path).runs if path.is_file() else []
    return {"/".join(Path(run.folder).parts[-4:]): run.key for run in runs}
