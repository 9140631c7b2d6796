"""The mirror: run folders are the truth, MLflow holds exactly one run for each of them."""

import json
from collections.abc import Iterator
from pathlib import Path

from harness.report.digest import failure
from harness.report.entry import CONTENT, Entry, content_hash, failed_entry, result_entry
from harness.report.store import Store, Stored, identity_of, open_store, store_lock
from harness.report.trials import add_searches
from harness.runs.folder import RunFolder

SUPERSEDED = "superseded"
Found = tuple[str, str, RunFolder, str | None]
"""Run key, content hash, folder, and why the run failed (None: it has a result)."""


def mirror(results: Path, experiment: str) -> dict[str, int]:
    """Bring the store in line with the run folders; return how many runs were added, kept, superseded.

    It can be repeated, interrupted and started twice at once: a lock lets one process work at a time,
    and a stored run counts only when its last tag, the hash of its content, is there and fits.
    """
    store = open_store(results, experiment)
    with store_lock(results):
        return _mirror(store, results / experiment)


def _mirror(store: Store, folder: Path) -> dict[str, int]:
    stored: dict[tuple[str, str], list[Stored]] = {}
    for run in store.runs():
        stored.setdefault(identity_of(run), []).append(run)
    counts = {"added": 0, "kept": 0, "superseded": 0}
    present = set()

    def is_there(identity: tuple[str, str], content: str) -> bool:
        present.add(identity)
        kept = _keep(store, stored.get(identity, []), content)
        counts["kept"] += kept
        return kept

    new = [
        entry_of(run_folder, key, content, reason)
        for key, content, run_folder, reason in folders(folder)
        if not is_there((key, run_folder.path.parts[-2]), content)
    ]
    store.add(new)
    counts["added"] = len(new) + add_searches(store, folder, is_there)
    for identity, runs in stored.items():
        for run in runs:
            if identity not in present and SUPERSEDED not in run.tags:
                store.client.set_tag(run.id, SUPERSEDED, "its run folder is gone")
                counts["superseded"] += 1
    return counts


def folders(folder: Path) -> Iterator[Found]:
    """Yield what lies in the run folders of an experiment: results, and tries that came to nothing."""
    planned = _planned_keys(folder)
    for path in sorted((folder / "runs").glob("*/*/*/seed*")):
        run_folder = RunFolder(path)
        result = run_folder.result()
        if result is not None:
            yield result.run_key, content_hash(run_folder.result_path), run_folder, None
            continue
        reason = failure(run_folder)
        key = planned.get("/".join(path.parts[-4:]))
        if reason is not None and key is not None:
            yield key, content_hash(run_folder.attempt_logs()[-1]), run_folder, reason


def _planned_keys(folder: Path) -> dict[str, str]:
    """Return the run keys that plan.json asks for, by run folder."""
    path = folder / "plan.json"
    runs = json.loads(path.read_text(encoding="utf-8"))["runs"] if path.is_file() else []
    return {"/".join(Path(run["folder"]).parts[-4:]): run["key"] for run in runs}


def entry_of(run_folder: RunFolder, key: str, content: str, reason: str | None) -> Entry:
    """Return the entry of what ``folders`` found."""
    result = run_folder.result()
    if reason is not None or result is None:
        return failed_entry(run_folder, key, reason or "", content)
    return result_entry(run_folder, result, content)


def _keep(store: Store, runs: list[Stored], content: str) -> bool:
    """Tell whether the content is stored already; delete every other run of the same key."""
    whole = [run for run in runs if run.tags.get(CONTENT) == content]
    for run in runs:
        if run not in whole[:1]:
            store.client.delete_run(run.id)
    if whole and SUPERSEDED in whole[0].tags:
        store.client.delete_tag(whole[0].id, SUPERSEDED)
    return bool(whole)
