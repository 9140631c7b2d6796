"""What comes from the Hub: fetched once, checked, locked; nothing else needs a network."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import yaml
from support.fake_hub import COMMIT, hub_server
from support.hub_folder import PAIRS, harness, online, write_hub, write_task

from harness.config import catalogue
from harness.config.lockfile import NAME, LockedModel, read_locked, with_locked_files
from harness.config.model import HubModel, Model
from harness.data.fetch import fetch_model, fetch_task
from harness.data.hub import HubSource
from harness.data.pretrained import load_tokenizer, model_folder
from harness.data.rows import Row
from harness.data.sources import Folders, load_splits
from harness.util.errors import HarnessError
from harness.util.paths import CONFIG, ROOT


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """A folder in the Hub's layout with one data set and one model."""
    return write_hub(tmp_path / "hub")


@pytest.fixture
def mine(tmp_path: Path) -> Iterator[Path]:
    """A folder with one custom task file that states no rows."""
    yield write_task(tmp_path / "mine")
    catalogue.task.cache_clear()


def pairs(mine: Path) -> catalogue.Task:
    catalogue.task.cache_clear()
    return catalogue.task("pairs", (mine,))


MODEL_FILES = """
import sys
from pathlib import Path
from harness.data.hub import HubSource
from harness.config.model import HubModel
into, source, model = Path(sys.argv[1]), HubSource(), HubModel(repo="acme/tiny-bert")
into.mkdir()
commit = source.commit(model.repo, model.revision, "model")
source.model_files(model, commit, into)
print(commit, *sorted(p.name for p in into.iterdir()))
"""


def test_the_real_hub_calls_bring_rows_and_weights_at_a_locked_commit(
    hub: Path, mine: Path, tmp_path: Path
) -> None:
    with hub_server(hub) as address:
        done = harness(
            "fetch", "--task", "pairs", "--tasks-dir", mine, "--out", tmp_path / "out",
            HF_ENDPOINT=address, HF_HOME=str(tmp_path / "home"),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert read_locked(mine).tasks["pairs"].revision == COMMIT
    rows = load_splits(pairs(mine), Folders(None, tmp_path / "out" / "cache" / "data"))
    assert rows["train"][1] == Row(("train 1",), 1)
    with hub_server(hub) as address:
        done = subprocess.run(
            [sys.executable, "-c", MODEL_FILES, str(tmp_path / "model")],
            env=online(HF_ENDPOINT=address, HF_HOME=str(tmp_path / "home")),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    expected = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt"]
    assert done.stdout.split() == [COMMIT, *expected]  # no code, nothing else


def test_an_absent_hub_is_a_plain_error(mine: Path, tmp_path: Path) -> None:
    done = harness(
        "fetch", "--task", "pairs", "--tasks-dir", mine, "--out", tmp_path,
        HF_ENDPOINT="http://127.0.0.1:9", HF_HOME=str(tmp_path / "home"),
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: acme/sentences at main cannot be read: ")
    assert "Traceback" not in done.stderr


def test_fetch_locks_what_no_file_states_and_later_changes_are_reported(
    hub: Path, mine: Path, tmp_path: Path
) -> None:
    folders = Folders(None, tmp_path / "data")
    before = pairs(mine)
    assert before.unknown_parts() == ["train", "validation"]
    fetch_task(before, (mine,), folders, HubSource(hub))
    after = pairs(mine)
    assert not after.unknown_parts()
    assert after.count("train") == 40
    text = (mine / NAME).read_text()
    fetch_task(after, (mine,), folders, HubSource(None))  # everything is there: the Hub is not queried
    assert (mine / NAME).read_text() == text
    path = tmp_path / "data" / "acme" / "pairs" / "train.parquet"
    pd.read_parquet(path).assign(label=1).iloc[::-1].to_parquet(path)
    with pytest.raises(HarnessError, match="the rows are not the declared ones"):
        fetch_task(pairs(mine), (mine,), folders, HubSource(hub))


def test_labels_of_another_order_and_kept_back_labels_are_reported(
    hub: Path, mine: Path, tmp_path: Path
) -> None:
    folders = Folders(None, tmp_path / "data")
    (mine / "pairs.yaml").write_text(yaml.safe_dump({**PAIRS, "labels": ["positive", "negative"]}))
    with pytest.raises(HarnessError, match="labels negative, positive; expected positive, negative"):
        fetch_task(pairs(mine), (mine,), folders, HubSource(hub))
    (mine / "pairs.yaml").write_text(yaml.safe_dump(PAIRS))
    path = hub / "acme" / "sentences" / "pairs" / "validation-00000-of-00001.parquet"
    pd.read_parquet(path).assign(label=-1).to_parquet(path)
    with pytest.raises(HarnessError, match="row 1: label -1: the labels of this split are hidden"):
        fetch_task(pairs(mine), (mine,), folders, HubSource(hub))
    assert not (mine / NAME).exists()


def test_a_model_is_fetched_locked_and_verified(hub: Path, tmp_path: Path) -> None:
    name, fetched = "acme--tiny-bert", tmp_path / "models"
    model = catalogue.model("acme/tiny-bert@main")
    assert model.hub == HubModel(repo="acme/tiny-bert", revision="main")
    assert not model.known
    fetch_model(name, model, fetched, tmp_path, HubSource(hub))
    entry = read_locked(tmp_path).models[name]
    known = with_locked_files(model, entry)
    assert known.known
    load_tokenizer(model_folder(name, known, fetched), known)
    assert not (fetched / name / "modeling_evil.py").exists()
    for file, text in (("config.json", '"gelu"'), ("tokenizer_config.json", "true")):
        before = (fetched / name / file).read_text()
        assert text in before
        (fetched / name / file).write_text(before.replace(text, '"relu"' if "gelu" in text else "false"))
        with pytest.raises(HarnessError, match=f"{file}.*not the declared files"):
            load_tokenizer(model_folder(name, known, fetched), known)
        with pytest.raises(HarnessError, match="not the declared files"):
            fetch_model(name, known, fetched, tmp_path, HubSource(hub))
        (fetched / name / file).write_text(before)
    with (fetched / name / "model.safetensors").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(HarnessError, match="not the declared file"):
        fetch_model(name, known, fetched, tmp_path, HubSource(hub))


def test_weights_that_are_not_safetensors_are_refused(hub: Path, tmp_path: Path) -> None:
    folder = hub / "acme" / "tiny-bert"
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(HarnessError, match=r"has no model.safetensors; only safetensors weights are"):
        fetch_model("m", catalogue.model("acme/tiny-bert"), tmp_path / "models", tmp_path, HubSource(hub))
    assert not (tmp_path / "models" / "m").exists()


def test_nothing_that_is_not_fetched_is_run(mine: Path, tmp_path: Path) -> None:
    path = tmp_path / "e.yaml"
    content = {
        "name": "e", "title": "E", "tasks": ["pairs"], "models": ["tiny"], "variants": ["vanilla"],
        "seeds": [1], "tasks_dirs": [str(mine)],
    }  # fmt: skip
    path.write_text(yaml.safe_dump(content))
    plain = f"not fetched: task pairs; type first: harness fetch {path}"
    advice = f"{plain} --out {tmp_path / 'out'}"
    planned = harness("plan", path, "--out", tmp_path / "out")
    assert planned.returncode == 0
    assert planned.stdout.rstrip().endswith(advice)
    cell = ["--task", "pairs", "--model", "tiny", "--method", "vanilla", "--seed", "1"]
    run = harness("run", "--experiment", path, *cell, "--out", tmp_path / "out")
    assert (run.returncode, run.stderr.splitlines()[-1]) == (
        1,
        "error: not fetched: task pairs; type first: harness fetch --task pairs --model tiny "
        f"--tasks-dir {mine} --out {tmp_path / 'out'}",
    )
    snakemake = subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", "--configfile", str(path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert snakemake.returncode == 1
    assert plain in snakemake.stdout + snakemake.stderr


NO_NETWORK = """
import sys
def forbid(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise RuntimeError(f"network: {event} {arguments}")
sys.addaudithook(forbid)
from harness.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_after_fetch_a_run_opens_no_socket(hub: Path, mine: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = harness("fetch", "--task", "pairs", "--tasks-dir", mine, "--hub", hub, "--out", out)
    assert done.returncode == 0, done.stderr
    settings = ["--set", "epochs=1", "--set", "selection_rows=8"]
    cell = ["--task", "pairs", "--model", "tiny", "--method", "freelb", "--seed", "1", "--tasks-dir", mine]
    done = subprocess.run(
        [sys.executable, "-c", NO_NETWORK, "run", *map(str, cell), *settings, "--out", str(out)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert list(out.glob("adhoc/runs/pairs/tiny/freelb/seed1-*/result.json"))


def test_the_lock_of_the_project_is_readable() -> None:
    read_locked(CONFIG)


def test_another_revision_in_a_task_file_is_fetched_again(hub: Path, mine: Path, tmp_path: Path) -> None:
    folders = Folders(None, tmp_path / "data")
    fetch_task(pairs(mine), (mine,), folders, HubSource(hub))
    first = read_locked(mine).tasks["pairs"]
    path = hub / "acme" / "sentences" / "pairs" / "train-00000-of-00001.parquet"
    table = pd.read_parquet(path)
    table.assign(sentence=table["sentence"] + " changed").to_parquet(path)
    fetch_task(pairs(mine), (mine,), folders, HubSource(hub))
    assert read_locked(mine).tasks["pairs"] == first  # the same revision: what is locked counts
    other = {**PAIRS, "hub": {**PAIRS["hub"], "revision": "v2"}}
    (mine / "pairs.yaml").write_text(yaml.safe_dump(other))
    assert pairs(mine).unknown_parts() == ["train", "validation"]
    fetch_task(pairs(mine), (mine,), folders, HubSource(hub))
    second = read_locked(mine).tasks["pairs"]
    assert second.requested == "v2" and second.rows["train"].hash != first.rows["train"].hash
    assert not pairs(mine).unknown_parts()
    assert load_splits(pairs(mine), folders)["train"][0].texts[0].endswith("changed")


def test_another_revision_of_a_model_is_fetched_again(hub: Path, tmp_path: Path) -> None:
    name, fetched = "acme--tiny-bert", tmp_path / "models"
    model = catalogue.model("acme/tiny-bert@main")
    fetch_model(name, model, fetched, tmp_path, HubSource(hub))
    first = read_locked(tmp_path).models[name]
    config = hub / "acme" / "tiny-bert" / "config.json"
    config.write_text(config.read_text().replace('"gelu"', '"relu"'))
    fetch_model(name, with_locked_files(model, first), fetched, tmp_path, HubSource(hub))
    assert read_locked(tmp_path).models[name] == first
    other = catalogue.model("acme/tiny-bert@v2")
    assert not with_locked_files(other, first).known
    fetch_model(name, with_locked_files(other, first), fetched, tmp_path, HubSource(hub))
    second = read_locked(tmp_path).models[name]
    assert second.requested == "v2" and second.configuration_sha256 != first.configuration_sha256
    assert '"relu"' in (fetched / name / "config.json").read_text()


def test_lock_and_file_agree_on_who_wins() -> None:
    """What a file states is never replaced by what was found."""
    digest = "0" * 64
    found = LockedModel(weights_sha256="1" * 64, tokenizer_sha256="1" * 64)
    stated = Model(title="t", hub=HubModel(repo="a/b"), weights_sha256=digest, licence="", citation="")
    model = with_locked_files(stated, found)
    assert (model.weights_sha256, model.tokenizer_sha256) == (digest, "1" * 64)
