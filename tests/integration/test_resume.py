"""Interrupted runs go on to the same bits, whatever interrupted them and wherever."""

import errno
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import chaos
from support.experiments import toy_plan

from harness.config import catalogue
from harness.data.rows import Row, rows_hash
from harness.engine import metrics, splits
from harness.plan.grid import Run
from harness.plan.plan import Plan
from harness.runs import stop
from harness.runs.checkpoint import Checkpoints
from harness.runs.folder import RunFolder
from harness.runs.progress import Progress
from harness.runs.run_or_resume import run_or_resume
from harness.runs.session import ensure_tokens
from harness.runs.stop import InterruptedRunError, StopRequest
from harness.util.errors import HarnessError
from harness.util.holder import Holder
from harness.util.lock import LOCK, LostLockError
from harness.util.paths import ROOT

SETTINGS = {
    "epochs": 2,
    "batch_size": 8,
    "train_rows": 40,
    "selection_rows": 16,
    "max_length": 16,
    "evaluations_per_epoch": 2,
    "selection": "best-on-selection",
}
FOUR = {
    "vanilla": {},
    "freelb": {"arguments": {"steps": 2}},
    "smart": {},
    "mat": {"arguments": {"steps_delta": 1, "steps_theta": 2}},
}
"""Vanilla, FreeLB, SMART with its teacher, MAT."""


@pytest.fixture(autouse=True, scope="module")
def few_permutations() -> Iterator[None]:
    """The chance p-value is most of a tiny run's time, and no matter here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "RESAMPLES", 9)
        yield


class After:
    """A request to stop that arrives after some queries: one per batch, also in evaluations."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __bool__(self) -> bool:
        self.left -= 1
        return self.left < 0


def toy(folder: Path, **changes: Any) -> tuple[Plan, Run, RunFolder]:
    """Return the plan, the run and the run folder of a vanilla run of ten batches."""
    folder.mkdir(exist_ok=True)
    plan = toy_plan(folder, **{"settings": SETTINGS, "checkpoint_minutes": 0.0, **changes})
    return plan, plan.runs[0], RunFolder(plan.run_folder(plan.runs[0]))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What a run of ten batches leaves when nothing happens to it and no checkpoint is written."""
    plan, run, folder = toy(tmp_path_factory.mktemp("undisturbed"), checkpoint_minutes=60.0)
    run_or_resume(plan, run, 1)
    return chaos.comparable(folder)


def interrupt(plan: Plan, run: Run, after: int) -> None:
    with pytest.raises(InterruptedRunError, match="the same command resumes it"):
        run_or_resume(plan, run, 1, After(after))


def test_checkpoints_change_no_bits_and_are_gone_afterwards(
    tmp_path: Path, undisturbed: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    write = Checkpoints.write
    monkeypatch.setattr(
        Checkpoints, "write", lambda self, state: (write(self, state), written.append(state.facts["step"]))
    )
    plan, run, folder = toy(tmp_path)
    run_or_resume(plan, run, 1)
    assert written == list(range(1, 11))
    assert chaos.comparable(folder) == undisturbed


def test_a_run_that_lost_its_lock_stops_before_it_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a suspended process does that another host took for dead."""
    plan, run, folder = toy(tmp_path, checkpoint_minutes=60.0)
    lock, batches = folder.path / LOCK, Progress.on_batch
    files: dict[Path, bytes] = {}

    def take_over(self: Progress, loss: float) -> None:
        batches(self, loss)
        if not files:
            lock.write_text(json.dumps(asdict(replace(Holder.this_process(), host="elsewhere"))))
            files.update(written(folder))

    monkeypatch.setattr(Progress, "on_batch", take_over)
    with pytest.raises(LostLockError, match="on elsewhere has taken it"):
        run_or_resume(plan, run, 1)
    assert files and written(folder) == files


def written(folder: RunFolder) -> dict[Path, bytes]:
    """Return every file of a run folder but the logs of its attempts."""
    return {
        path: path.read_bytes()
        for path in folder.path.rglob("*")
        if path.is_file() and folder.attempts not in path.parents
    }


VARIANTS = sorted(name for name, v in catalogue.variants().items() if v.epochs_times == 1)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_gives_the_same_bits_again_and_after_an_interruption(
    tmp_path: Path, variant: str
) -> None:
    settings = {**SETTINGS, "train_rows": 16, "evaluations_per_epoch": 1}
    known = catalogue.variant(variant)
    fewer = {"steps_delta": 1, "steps_theta": 2} if known.method == "mat" else {}
    arguments = {key: value for key, value in fewer.items() if key not in known.arguments}
    plan, run, folder = toy(tmp_path, settings=settings, variants={variant: {"arguments": arguments}})
    run_or_resume(plan, run, 1)
    first = chaos.comparable(folder)
    chaos.train_again(plan, run)
    assert chaos.comparable(folder) == first
    folder.result_path.unlink()
    interrupt(plan, run, 0)
    interrupt(plan, run, 1)
    run_or_resume(plan, run, 1)
    assert chaos.comparable(folder) == first
    assert len(json.loads(folder.provenance_path.read_text())["attempts"]) == 5


def test_a_run_interrupted_again_and_again_ends_as_an_undisturbed_one(
    tmp_path: Path, undisturbed: dict[str, object]
) -> None:
    plan, run, folder = toy(tmp_path, checkpoint_minutes=60.0)
    for _ in range(8):
        interrupt(plan, run, 1)
    run_or_resume(plan, run, 1)
    assert chaos.comparable(folder) == undisturbed
    tried = [one["after_batch"] for one in json.loads(folder.provenance_path.read_text())["attempts"]]
    assert tried == sorted(tried) and tried[0] == 0 and len(set(tried)) > 6


def kill(folder: Path, kills: int) -> list[dict[str, Any]]:
    plan = toy_plan(folder, settings=SETTINGS, variants=FOUR, checkpoint_minutes=0.0005)
    command = [sys.executable, "-m", "support.chaos", str(plan.file), str(folder), str(kills), "1"]
    done = subprocess.run(command, cwd=ROOT / "tests", stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def check_killed(reports: list[dict[str, Any]], kills: int) -> None:
    assert [report["run"].split("/")[2] for report in reports] == list(FOUR)
    for report in reports:
        assert report["equal"] and set(report["hashes"]) == {report["undisturbed"]}, report
        assert report["kills"] == kills
        assert any(report["after_batch"]), "no try came to its first checkpoint"


def test_what_a_killed_writer_left_is_swept_away(tmp_path: Path, undisturbed: dict[str, object]) -> None:
    plan, run, folder = toy(tmp_path)
    interrupt(plan, run, 4)
    (folder.path / ".metrics.jsonl.abc").write_text("half a line")
    (folder.checkpoints / ".def").mkdir()
    run_or_resume(plan, run, 1)
    assert chaos.comparable(folder) == undisturbed


def test_killed_at_random_moments_a_run_ends_in_the_same_bits(tmp_path: Path) -> None:
    check_killed(kill(tmp_path, 3), 3)


@pytest.mark.slow
def test_killed_a_dozen_times_a_run_ends_in_the_same_bits(tmp_path: Path) -> None:
    reports = kill(tmp_path, 12)
    print(*map(json.dumps, reports), sep="\n")
    check_killed(reports, 12)


# --- requests to stop


@pytest.mark.parametrize("number", stop.SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("evaluation", [2, -1], ids=["selection", "report"])
def test_a_signal_during_an_evaluation_interrupts_it_and_loses_nothing(
    tmp_path: Path,
    undisturbed: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    evaluation: int,
) -> None:
    plan, run, folder = toy(tmp_path)
    seen: list[int] = []
    by_length = splits.by_length

    def signalled(tokens: Any, rows: Any, *rest: Any) -> Iterator[Any]:
        seen.append(len(rows))
        if len(seen) == evaluation or (evaluation == -1 and len(rows) == 1000):
            os.kill(os.getpid(), number)
        yield from by_length(tokens, rows, *rest)

    monkeypatch.setattr(splits, "by_length", signalled)
    request = StopRequest()
    step = 5 if evaluation == 2 else 10
    with (
        request.listening(),
        pytest.raises(InterruptedRunError, match=f"interrupted after batch {step} of 10; checkpoint written"),
    ):
        run_or_resume(plan, run, 1, request)
    assert folder.result() is None
    monkeypatch.setattr(splits, "by_length", by_length)
    run_or_resume(plan, run, 1)
    assert chaos.comparable(folder) == undisturbed


def test_signals_close_together_are_one_request_and_a_later_one_ends_the_process() -> None:
    code = (
        "import os, signal, sys, time\n"
        "from harness.runs import stop\n"
        "request = stop.StopRequest()\n"
        "with request.listening():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('requested' if request else 'not requested', flush=True)\n"
        "    stop.SAME_SECONDS = 0.0\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('still here')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "requested\n"
    assert done.returncode == -signal.SIGTERM


def command(plan: Plan, *more: str) -> list[str]:
    task, model, variant, seed = plan.runs[0].name.split("/")
    return [
        sys.executable, "-m", "harness", "run", "--experiment", str(plan.file), "--out", str(plan.results),
        "--task", task, "--model", model, "--method", variant, "--seed", seed.removeprefix("seed"), *more,
    ]  # fmt: skip


def test_sigterm_ends_the_command_plainly_and_the_same_command_goes_on(tmp_path: Path) -> None:
    settings = {**SETTINGS, "epochs": 40}
    calm, run, calm_folder = toy(tmp_path / "calm", settings=settings, checkpoint_minutes=60.0)
    run_or_resume(calm, run, 1)
    plan, _, folder = toy(tmp_path / "wild", settings=settings, checkpoint_minutes=60.0)
    first = subprocess.Popen(command(plan), cwd=ROOT, stderr=subprocess.PIPE, text=True)
    while not (folder.metrics_path.is_file() and folder.metrics_path.read_text()):
        assert first.poll() is None
        time.sleep(0.01)
    first.terminate()
    message = first.communicate()[1]
    assert first.returncode == 1
    assert "error: " in message and "checkpoint written; the same command resumes it" in message
    assert "Traceback" not in message
    assert not (folder.path / "lock").exists() and folder.result() is None
    again = subprocess.run(command(plan), cwd=ROOT, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "resumes after batch" in again.stderr
    found, expected = folder.result(), calm_folder.result()
    assert found is not None and expected is not None
    assert found.hashes == expected.hashes and found.cost.forward_passes == expected.cost.forward_passes
    assert folder.metrics_path.read_text() == calm_folder.metrics_path.read_text()
    tried = json.loads(folder.provenance_path.read_text())["attempts"]
    assert [one["log"] for one in tried] == ["attempts/1.log", "attempts/2.log"]
    assert tried[0]["after_batch"] == 0 < tried[1]["after_batch"]


# --- damaged and foreign checkpoints


def truncate(folder: Path) -> None:
    path = folder / "optimizer.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(folder: Path) -> None:
    path = folder / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def cut_json(folder: Path) -> None:
    path = folder / "state.json"
    path.write_text(path.read_text()[:-20])


def edit_json(folder: Path) -> None:
    path = folder / "state.json"
    path.write_text(path.read_text().replace('"batch"', '"bitch"').replace('"step": 4', '"step": 3'))


def remove(folder: Path) -> None:
    (folder / "streams.safetensors").unlink()


@pytest.mark.parametrize("damage", [truncate, flip, cut_json, edit_json, remove])
def test_a_damaged_checkpoint_falls_back_to_the_previous_one(
    tmp_path: Path, undisturbed: dict[str, object], caplog: pytest.LogCaptureFixture, damage: Any
) -> None:
    plan, run, folder = toy(tmp_path)
    interrupt(plan, run, 4)
    newest = sorted(folder.checkpoints.iterdir())[-1]
    damage(newest)
    with caplog.at_level(logging.WARNING):
        interrupt(plan, run, 3)
    assert f"{newest.name} is damaged" in caplog.text and "using the previous one" in caplog.text
    tried = json.loads(folder.provenance_path.read_text())["attempts"]
    assert [one["after_batch"] for one in tried] == [0, 3]
    assert len(list(folder.checkpoints.iterdir())) == 2 and not newest.exists()
    run_or_resume(plan, run, 1)
    assert chaos.comparable(folder) == undisturbed


def test_without_a_whole_checkpoint_a_run_starts_anew(
    tmp_path: Path, undisturbed: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    plan, run, folder = toy(tmp_path)
    interrupt(plan, run, 4)
    for path in folder.checkpoints.iterdir():
        flip(path)
    run_or_resume(plan, run, 1)
    assert "the run starts over" in caplog.text
    assert chaos.comparable(folder) == undisturbed


def test_a_checkpoint_of_another_key_is_refused(tmp_path: Path) -> None:
    plan, run, folder = toy(tmp_path / "one")
    interrupt(plan, run, 2)
    other, other_run, other_folder = toy(tmp_path / "two", seeds=[2])
    other_folder.path.mkdir(parents=True)
    folder.checkpoints.rename(other_folder.checkpoints)
    with pytest.raises(HarnessError) as caught:
        run_or_resume(other, other_run, 1)
    assert run.key[:8] in str(caught.value) and other_run.key[:8] in str(caught.value)
    assert other_folder.checkpoints.is_dir()


# --- full disks


@pytest.mark.parametrize("name", ["predictions.parquet", "result.json", "metrics.jsonl", "provenance.json"])
def test_a_full_disk_leaves_no_result_and_the_last_checkpoint(
    tmp_path: Path, undisturbed: dict[str, object], full_disk: Any, name: str
) -> None:
    plan, run, folder = toy(tmp_path)
    interrupt(plan, run, 4)
    with full_disk(name), pytest.raises(OSError, match="No space left"):
        run_or_resume(plan, run, 1)
    assert folder.result() is None
    assert not [p for p in folder.path.iterdir() if p.name.startswith(".")]
    assert folder.checkpoints.is_dir()
    run_or_resume(plan, run, 1)
    assert chaos.comparable(folder) == undisturbed
    last = json.loads(folder.provenance_path.read_text())["attempts"][-1]
    assert last["after_batch"] >= 4


@pytest.mark.parametrize("name", ["weights.safetensors", "state.json"])
def test_a_checkpoint_that_finds_the_disk_full_stops_no_training(
    tmp_path: Path,
    undisturbed: dict[str, object],
    caplog: pytest.LogCaptureFixture,
    full_disk: Any,
    name: str,
) -> None:
    plan, run, folder = toy(tmp_path)
    interrupt(plan, run, 4)
    kept = sorted(path.name for path in folder.checkpoints.iterdir())[-1]
    with full_disk(name):
        with pytest.raises(InterruptedRunError, match="keeping the one of batch 4"):
            run_or_resume(plan, run, 1, After(3))
        assert [path.name for path in folder.checkpoints.iterdir()] == [kept]
        assert "batch 5 of 10: checkpoint not written" in caplog.text
        run_or_resume(plan, run, 1)
    assert chaos.comparable(folder) == undisturbed


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A context in which files of one name cannot be written: the disk is full by then."""
    from contextlib import contextmanager

    replace = Path.replace

    @contextmanager
    def full(name: str) -> Iterator[None]:
        def failing(self: Path, target: Path) -> Path:
            if Path(target).name == name:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
            return replace(self, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", failing)
            yield

    return full


# --- two processes


def test_two_processes_that_start_the_same_run_do_it_once(tmp_path: Path) -> None:
    settings = {**SETTINGS, "epochs": 10}
    calm, run, calm_folder = toy(tmp_path / "calm", settings=settings)
    run_or_resume(calm, run, 1)
    plan, _, folder = toy(tmp_path / "both", settings=settings)
    both = [
        subprocess.Popen(command(plan), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    message = [process.communicate() for process in both]
    statuses = [process.returncode for process in both]
    assert 0 in statuses, message
    if 1 in statuses:  # the slower one came while the faster one was at it
        loser = statuses.index(1)
        assert f"is in use by process {both[1 - loser].pid}" in message[loser][1]
    assert len(folder.attempt_logs()) == 1
    assert len(json.loads(folder.provenance_path.read_text())["attempts"]) == 1
    found, expected = folder.result(), calm_folder.result()
    assert found is not None and expected is not None and found.hashes == expected.hashes
    assert not (folder.path / "lock").exists()


# --- what a run reads


def test_damaged_token_ids_are_made_again_with_a_warning(
    tmp_path: Path, undisturbed: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    plan, run, folder = toy(tmp_path)
    ids = ensure_tokens(plan, run.cell) / "train" / "ids.npy"
    content = bytearray(ids.read_bytes())
    content[-1] ^= 1
    ids.write_bytes(content)
    run_or_resume(plan, run, 1)
    assert "are made again: train/ids.npy was changed" in caplog.text
    assert chaos.comparable(folder) == undisturbed


def test_data_that_changed_after_planning_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    rows = [Row((f"text number {number}",), number % 2) for number in range(64)]
    declared = {"count": len(rows), "hash": rows_hash(rows)}
    own = {"parent": "sst2", "rows": {"train": declared, "validation": declared}}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "own.yaml").write_text(yaml.safe_dump(own))
    write_rows(tmp_path, rows)
    places = {"data_root": str(tmp_path), "tasks_dirs": [str(tmp_path / "mine")]}
    plan, run, folder = toy(tmp_path, tasks=["own"], **places)
    changed = [*rows[:-1], Row(rows[-1].texts, 0)]
    write_rows(tmp_path, changed)
    with pytest.raises(HarnessError, match="not the declared ones"):
        run_or_resume(plan, run, 1)
    assert folder.result() is None and not plan.tokens_folder(run.cell).exists()
    write_rows(tmp_path, rows)
    run_or_resume(plan, run, 1)
    write_rows(tmp_path, changed)  # the token ids are those of the declared rows: the file is not read again
    folder.result_path.unlink()
    run_or_resume(plan, run, 1)


def write_rows(root: Path, rows: list[Row]) -> None:
    folder = root / "glue" / "sst2"
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "validation"):
        lines = [f"{row.texts[0]},{row.label}" for row in rows]
        (folder / f"{split}.csv").write_text("\n".join(["sentence,label", *lines]) + "\n")
