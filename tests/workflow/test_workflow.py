"""The life of an experiment under Snakemake: made, interrupted, broken, mended, changed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.clones import EXPERIMENT, Clone


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone whose experiment was run once."""
    made = Clone(tmp_path_factory.mktemp("clone"))
    text = made.snakemake()
    assert len(made.results()) == 3, text
    return made


def test_dry_runs_on_a_fresh_clone_plan_every_run(tmp_path: Path) -> None:
    """A profile names an experiment of its own; the one that is given takes its place, key by key."""
    made, plans = Clone(tmp_path), []
    for arguments in (["-n"], ["-n", "--profile", "slurm", "--configfile", "config/quick.yaml"]):
        text = made.snakemake(*arguments, toy=False)
        assert "train" in text and "results/quick/runs/stsb/minilm/mat/seed1-" in text
        plans.append(json.loads((tmp_path / "results/quick/plan.json").read_text()))
    assert plans[0]["experiment"]["name"] == "quick"
    assert {**plans[0], "file": "config/quick.yaml"} == plans[1]
    assert "type first: harness fetch config/paper.yaml" in made.snakemake(
        "-n", "--profile", "slurm", toy=False, check=1
    )


def test_what_is_meant_for_a_cluster_does_not_start_here_unless_one_insists(tmp_path: Path) -> None:
    made = Clone(tmp_path)
    made.configure(cluster=True, seeds=[1])
    message = made.snakemake(check=1)
    assert "1 runs would be trained on this machine" in message and "--config here=yes" in message
    assert not made.results()
    assert len(made.planned()) == 1  # a dry run starts nothing
    made.snakemake("tables")
    assert "did you mean 'here'" in made.snakemake("--config", "hree=yes", check=1)
    made.snakemake("--config", "here=yes")
    assert len(made.results()) == 1


def test_tables_on_a_fresh_clone_train_nothing(tmp_path: Path) -> None:
    made = Clone(tmp_path)
    made.snakemake("tables")
    assert "0 of 3 runs" in made.table()
    assert not made.results()


def test_errors_are_reported_before_any_job(tmp_path: Path) -> None:
    made = Clone(tmp_path)
    made.configure(taks=["stsb"], seeds=[1, 1])
    text = made.snakemake(check=1)
    assert "2 errors, nothing was started" in text
    assert "did you mean 'tasks'" in text
    assert not (tmp_path / "results").exists()


def test_a_second_run_does_nothing_even_without_snakemakes_memory(clone: Clone) -> None:
    assert "(3/3)" in clone.table() and "toy: not results" in clone.table()
    assert "Nothing to be done" in clone.snakemake("-n")
    shutil.rmtree(clone.folder / ".snakemake")
    assert "Nothing to be done" in clone.snakemake()


def test_a_removed_run_is_missing_in_the_tables_then_made_again_alone(clone: Clone) -> None:
    before = clone.results()
    shutil.rmtree(clone.runs()[1])
    clone.snakemake("tables")
    assert (
        "(2/3)" in clone.table()
        and "the run was not made: rotten_tomatoes/tiny/vanilla/seed2" in clone.table()
    )
    assert len(clone.results()) == 2
    clone.snakemake()
    after = clone.results()
    assert "(3/3)" in clone.table()
    assert [path for path in after if after[path] != before[path]] == [str(clone.runs()[1] / "result.json")]


def test_a_failing_run_stops_no_other_and_ends_in_tables_and_digest(clone: Clone) -> None:
    clone.configure(settings={**EXPERIMENT["settings"], "weight_decay": 0.02}, seeds=[1, 2])
    first, _ = clone.planned()
    in_the_way = clone.folder / f"results/toy/runs/rotten_tomatoes/tiny/vanilla/{first}/metrics.jsonl"
    in_the_way.mkdir(parents=True)  # a folder where the run wants to write a file
    text = clone.snakemake(check=1)
    assert "(1/2)" in clone.table()
    assert "1 failed, 1 of 2 runs done" in text
    assert "Is a directory" in text
    listed = (clone.folder / "results/toy/failed.txt").read_text().split()
    assert [Path(path).parent.name for path in listed] == [first]
    in_the_way.rmdir()
    clone.snakemake(*listed)
    clone.snakemake()
    assert "(2/2)" in clone.table()
    assert not (clone.folder / "results/toy/failed.txt").exists()


def test_a_changed_setting_plans_exactly_its_runs_and_leaves_old_results(clone: Clone) -> None:
    clone.configure()
    clone.snakemake()
    before = clone.results()
    clone.configure(seeds=[1, 2, 3, 4])
    assert [run.partition("-")[0] for run in clone.planned()] == ["seed4"]
    clone.configure(settings={**EXPERIMENT["settings"], "learning_rate": 1e-3}, seeds=[1, 2])
    assert [run.partition("-")[0] for run in clone.planned()] == ["seed1", "seed2"]
    clone.snakemake()
    assert before.items() <= clone.results().items()
    clone.configure()
    assert clone.planned() == []


def test_a_broken_result_is_reported_and_made_again(clone: Clone) -> None:
    clone.configure()
    clone.snakemake()
    path = next(Path(p) for p in clone.results() if "/seed3-" in p)
    whole = json.loads(path.read_text())
    path.write_text(path.read_text()[:100])
    text = clone.snakemake()
    assert "the run counts as missing" in text
    assert json.loads(path.read_text())["hashes"] == whole["hashes"]


def test_a_run_stopped_by_a_signal_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    made = Clone(tmp_path)
    made.configure(seeds=[1], settings={**EXPERIMENT["settings"], "epochs": 60})
    command = [sys.executable, "-m", "snakemake", "--configfile", "toy.yaml"]
    first = subprocess.Popen(command, cwd=made.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (started := list(made.folder.glob("results/toy/runs/*/*/*/*/metrics.jsonl"))):
        assert first.poll() is None
        time.sleep(0.05)
    folder = started[0].parent
    os.kill(json.loads((folder / "lock").read_text())["pid"], signal.SIGTERM)
    assert first.wait() == 1
    assert not (folder / "result.json").exists() and list(folder.glob("checkpoints/*/state.json"))
    assert " i (0/1)" in made.table() and not (made.folder / "results/toy/failures.md").exists()
    made.snakemake()
    tried = json.loads((folder / "provenance.json").read_text())["attempts"]
    assert len(tried) == 2 and tried[1]["after_batch"] > 0
    assert "(1/1)" in made.table() and not (folder / "checkpoints").exists()
