"""After one fetch, results of a task from the Hub are verified, bundled and merged without a network."""

import json
from pathlib import Path

import pytest
import yaml
from support.hub_folder import harness, write_hub, write_task

from harness.config import catalogue
from harness.config.lockfile import NAME, Locked, LockedModel, add_missing, read_locked
from harness.plan.plan import make_plan
from harness.report.bundle import Manifest, make_bundle, merge_bundle
from harness.results.export import export
from harness.util.errors import HarnessError

SETTINGS = {"epochs": 1, "batch_size": 8, "selection_rows": 8, "max_length": 16}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an experiment on a task from the Hub, fetched and trained."""
    folder = tmp_path_factory.mktemp("hub")
    content = {
        "name": "toy", "title": "A toy experiment", "tasks_dirs": [str(write_task(folder / "tasks"))],
        "settings": SETTINGS, "tasks": ["pairs"], "models": ["tiny"], "variants": ["vanilla"], "seeds": [1],
    }  # fmt: skip
    (folder / "toy.yaml").write_text(yaml.safe_dump(content))
    hub = write_hub(folder / "hub")
    command("fetch", folder / "toy.yaml", "--hub", hub, "--out", folder / "results")
    run = ("--task", "pairs", "--model", "tiny", "--method", "vanilla", "--seed", "1")
    command("run", "--experiment", folder / "toy.yaml", *run, "--out", folder / "results")
    return folder


def command(*arguments: object) -> str:
    done = harness(*arguments, HF_HUB_OFFLINE="1", HF_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_run_of_a_fetched_task_is_verified(folder: Path) -> None:
    command("plan", folder / "toy.yaml", "--out", folder / "results")
    (run,) = (folder / "results").glob("toy/runs/*/*/*/seed1-*")
    assert "identical" in command("verify", run)
    assert json.loads((run / "verification.json").read_text())["verdict"] == "identical"


def test_a_bundle_brings_what_is_locked(folder: Path, tmp_path: Path) -> None:
    catalogue.task.cache_clear()
    plan = make_plan(folder / "toy.yaml", folder / "results")
    export(plan)
    make_bundle(plan, tmp_path / "toy.tar.gz")
    lock = folder / "tasks" / NAME
    content = lock.read_text()
    lock.unlink()  # another clone has the task file only
    try:
        merged = merge_bundle(tmp_path / "toy.tar.gz", tmp_path / "results")
        assert lock.read_text() == content and merged.added == 1
        printed = command("tables", merged.file, "--out", tmp_path / "results")
        assert "1 of 1 runs" in printed
        assert "0 superseded" in command("clean-superseded", merged.file, "--out", tmp_path / "results")
        for name in ("main.md", "claims.md", "cost.csv"):
            ours = folder / "results" / "toy" / "tables" / name
            if ours.is_file():
                assert (tmp_path / "results" / "toy" / "tables" / name).read_bytes() == ours.read_bytes()
    finally:
        lock.write_text(content)


def test_entries_that_are_here_stay(tmp_path: Path) -> None:
    ours, theirs = (LockedModel(weights_sha256=c * 64, tokenizer_sha256=c * 64) for c in "12")
    add_missing(tmp_path, Locked(models={"a": ours}))
    add_missing(tmp_path, Locked(models={"a": theirs, "b": theirs}))
    assert read_locked(tmp_path).models == {"a": ours, "b": theirs}


@pytest.mark.parametrize("name", ["..", "", ".", "a/b", 3, None])
def test_a_manifest_with_a_name_that_is_none_is_refused(name: object) -> None:
    content = {"experiment": name, "runs": 0, "planned": 0, "commit": None, "dirty": None,
               "diff_sha256": None, "files": {}}  # fmt: skip
    with pytest.raises(ValueError, match="experiment"):
        Manifest.model_validate(content)


def test_archives_that_are_no_bundles_are_refused_in_one_line(tmp_path: Path) -> None:
    import io
    import tarfile

    for manifest in ([1], {"format": 1, "files": {}}, {"format": 1, "experiment": "..", "files": {}}):
        path, content = tmp_path / "b.tar.gz", json.dumps(manifest).encode()
        with tarfile.open(path, "w:gz") as archive:
            member = tarfile.TarInfo("manifest.json")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        with pytest.raises(HarnessError, match="not a complete bundle"):
            merge_bundle(path, tmp_path / "clone" / "results")
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and p.name != "b.tar.gz"]
