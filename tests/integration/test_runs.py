"""A run from plan to record: reproducible, locked, whole or absent."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from support.chaos import train_again
from support.experiments import toy_plan

from baselines.vanilla import Vanilla
from harness.config import catalogue
from harness.config.result import Result
from harness.data.tokens import Tokens
from harness.engine import metrics
from harness.engine.perturbation import Magnitude
from harness.engine.rng import stream_seed
from harness.engine.splits import split_off_selection
from harness.engine.trainer import Best
from harness.methods import adversary
from harness.methods.conformance import toy
from harness.methods.interface import Batch, PassCount
from harness.methods.registry import method_names
from harness.results.frame import build_frame
from harness.runs import memory, training
from harness.runs.folder import RunFolder
from harness.runs.run_or_resume import run_or_resume
from harness.util import lock
from harness.util.errors import HarnessError
from harness.util.paths import ROOT


def test_a_run_writes_its_folder_and_two_equal_runs_give_the_same_bits(tmp_path: Path) -> None:
    plan = toy_plan(tmp_path)
    run = plan.runs[0]
    first = run_or_resume(plan, run, threads=1)
    folder = RunFolder(plan.run_folder(run))
    assert folder.result() == first
    predictions = pd.read_parquet(folder.predictions_path)
    assert list(predictions.columns) == ["split", "row", "label", "logit_0", "logit_1"]
    assert len(predictions) == 1000
    accuracy = (predictions[["logit_0", "logit_1"]].to_numpy().argmax(1) == predictions["label"]).mean()
    assert first.metrics["validation"]["accuracy"] == pytest.approx(accuracy)
    assert [json.loads(line)["step"] for line in folder.metrics_path.read_text().splitlines()] == [2]
    assert first.cost.optimizer_steps == 2
    provenance = json.loads(folder.provenance_path.read_text())
    assert set(provenance["streams"]) == {"head", "order", "dropout", "perturbation"}
    assert run_or_resume(plan, run, threads=1) == first and len(folder.attempt_logs()) == 1
    assert train_again(plan, run).timeless() == first.timeless() and len(folder.attempt_logs()) == 2


def test_a_run_keeps_no_state_of_another_in_the_same_process(tmp_path: Path) -> None:
    plan = toy_plan(tmp_path, variants=["smart"])
    first = run_or_resume(plan, plan.runs[0], 1)
    assert first.timeless() == train_again(plan, plan.runs[0]).timeless()


def test_a_perturbation_below_rounding_is_flagged(tmp_path: Path) -> None:
    variants = {
        "vanilla": {},
        "freelb": {},
        "mat": {"arguments": {"radius": 1e-30, "noise_ratio": 0.0, "start": "zero"}},
    }
    plan = toy_plan(tmp_path, variants=variants)
    none, seen, hidden = (run_or_resume(plan, run, 1).flags["perturbation"] for run in plan.runs)
    assert none is None
    assert seen["resolved"] and seen["l2"] > 0.01
    assert not hidden["resolved"] and hidden["loss_change"] <= hidden["rounding_change"]


def test_sizes_that_are_not_finite_are_recorded_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finished run keeps its scores, whatever the step that is measured after it does."""
    measured = training.measure

    def not_finite(*arguments: Any) -> Magnitude:
        return replace(measured(*arguments), loss_change=float("nan"), divergence=float("inf"))

    monkeypatch.setattr(training, "measure", not_finite)
    plan = toy_plan(tmp_path, variants=["freelb"])
    result = run_or_resume(plan, plan.runs[0], 1)
    sizes = result.flags["perturbation"]
    assert sizes["loss_change"] is None and sizes["divergence"] is None and sizes["l2"] > 0
    assert sizes["resolved"] is None and sizes["reason"] == "not finite at the end of training"
    (row,) = build_frame(plan)
    assert row.perturbation == "not finite" and "perturbation.loss_change" not in row.values


def test_peak_memory_is_that_of_the_run_not_of_the_process(tmp_path: Path) -> None:
    large = {"of": "vanilla", "settings": {"batch_size": 512, "train_rows": 512, "max_length": 64}}
    plan = toy_plan(tmp_path, variants={"vanilla": {}, "large": large, "freelb": {}})
    small, most, after = (run_or_resume(plan, run, 1).cost.peak_memory_mb for run in plan.runs)
    assert small and most and after
    assert most > small + 20 and after < most - 10


def test_memory_that_cannot_be_measured_is_not_guessed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "RESET", tmp_path / "none" / "clear_refs")
    plan = toy_plan(tmp_path)
    assert run_or_resume(plan, plan.runs[0], 1).cost.peak_memory_mb is None


def test_the_hash_of_token_ids_is_that_of_their_content(tmp_path: Path) -> None:
    settings = [{"max_length": 16}, {"max_length": 8}, {"max_length": 16, "epochs": 2}]
    hashes = []
    for number, changes in enumerate(settings):
        folder = tmp_path / str(number)
        folder.mkdir()
        plan = toy_plan(folder, settings={"epochs": 1, "train_rows": 16, "selection_rows": 16, **changes})
        hashes.append(run_or_resume(plan, plan.runs[0], 1).hashes["tokens"])
    assert hashes[0] == hashes[2] != hashes[1] and len(hashes[0]) == 64


def test_passes_that_are_not_the_declared_ones_end_the_run_at_the_first_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Vanilla, "passes", lambda *_: PassCount(forward=2, backward=1, optimizer_steps=1))
    plan = toy_plan(tmp_path)
    with pytest.raises(HarnessError, match=r"declares \{'forward': 2, .* for a batch, but \{'forward': 1, "):
        run_or_resume(plan, plan.runs[0], 1)


def test_a_pass_over_a_batch_that_was_doubled_is_not_one_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As R-Drop is often written: budgets would charge half of it."""
    plain = Vanilla.gradient

    def doubled(self: Vanilla, model: Any, batch: Batch) -> torch.Tensor:
        names = ("input_ids", "attention_mask", "token_type_ids", "labels")
        twice = {name: getattr(batch, name).repeat_interleave(2, 0) for name in names}
        return plain(self, model, Batch(**twice, tokens=2 * batch.tokens))

    monkeypatch.setattr(Vanilla, "gradient", doubled)
    plan = toy_plan(tmp_path)
    with pytest.raises(HarnessError, match="costs 48 forward equivalents for 8 examples, expected 24"):
        run_or_resume(plan, plan.runs[0], 1)


def test_the_best_weights_are_replaced_in_place() -> None:
    encoder, best = toy.encoder(), Best()
    best.offer(0.5, 1, encoder)
    places = {name: tensor.data_ptr() for name, tensor in best.weights.items()}
    toy.steps(encoder, toy.build("vanilla"), count=1)
    best.offer(0.4, 2, encoder)
    assert toy.largest_difference(best.weights, toy.parameters(encoder)) > 0
    best.offer(0.6, 3, encoder)
    assert toy.largest_difference(best.weights, toy.parameters(encoder)) == 0 and best.step == 3
    assert {name: tensor.data_ptr() for name, tensor in best.weights.items()} == places


def test_methods_of_one_seed_start_from_the_same_head_and_see_the_same_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.engine import trainer

    seen: list[list[int]] = []
    whole = trainer.shuffled

    def watched(*arguments):  # noqa: ANN002, ANN202
        for batch in whole(*arguments):
            seen.append(batch.input_ids.flatten().tolist())
            yield batch

    monkeypatch.setattr(trainer, "shuffled", watched)
    monkeypatch.setattr(metrics, "RESAMPLES", 9)
    variants = [v if v != "rdrop" else "r-drop" for v in method_names()]
    plan = toy_plan(tmp_path, variants=variants)
    results = [run_or_resume(plan, run, threads=1) for run in plan.runs]
    assert {result.method for result in results} == set(method_names())
    assert len({result.hashes["head"] for result in results}) == 1
    assert len({result.hashes["weights"] for result in results}) == len(results)
    assert [seen[i : i + 2] for i in range(0, len(seen), 2)] == [seen[0:2]] * len(results)


def test_streams_are_apart() -> None:
    names = [(s, stream, t) for s in (1, 2) for stream in ("head", "order") for t in ("stsb", "cola")]
    assert len({stream_seed(s, stream, t, "tiny") for s, stream, t in names}) == len(names)


def test_divergence_is_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Vanilla, model: object, batch: object, optimizer: object) -> torch.Tensor:
        return torch.tensor(float("nan"))

    monkeypatch.setattr(Vanilla, "step", broken)
    plan = toy_plan(tmp_path)
    result = run_or_resume(plan, plan.runs[0], threads=1)
    assert result.status == "diverged"
    assert result.metrics == {}
    assert result.flags["reason"] == "the loss is not finite at batch 1 of 2 (loss nan)"
    assert not RunFolder(plan.run_folder(plan.runs[0])).predictions_path.exists()


def test_a_perturbation_that_is_not_finite_is_named_as_the_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adversary, "unit", lambda gradient, kind: gradient / 0)
    plan = toy_plan(tmp_path, variants=["freelb"])
    result = run_or_resume(plan, plan.runs[0], threads=1)
    assert result.status == "diverged"
    assert result.flags["reason"].startswith("a perturbation is not finite at batch 1 of 2")


CURVED = {"epochs": 3, "batch_size": 8, "train_rows": 16, "selection_rows": 16, "max_length": 16}


def curved(folder: Path, **settings: object) -> tuple[Result, list[dict[str, Any]]]:
    """Return the result and the evaluations of a run of three epochs."""
    folder.mkdir()
    plan = toy_plan(folder, settings={**CURVED, **settings})
    result = run_or_resume(plan, plan.runs[0], threads=1)
    lines = RunFolder(plan.run_folder(plan.runs[0])).metrics_path.read_text().splitlines()
    return result, [json.loads(line) for line in lines]


def test_weights_of_the_best_evaluation_are_taken_when_asked(tmp_path: Path) -> None:
    result, evaluations = curved(tmp_path / "a", selection="best-on-selection")
    best = max(evaluations, key=lambda e: e["metrics"]["accuracy"])
    assert result.selection == {"rule": "best-on-selection", "step": best["step"]}
    assert result.curve.best == best["metrics"]["accuracy"]
    assert result.curve.evaluations == 3


def test_the_report_split_is_read_along_the_way_only_by_name(tmp_path: Path) -> None:
    plain, evaluations = curved(tmp_path / "plain")
    assert {e["split"] for e in evaluations} == {"selection"}
    assert plain.report_curve.evaluations == 0
    recorded, evaluations = curved(tmp_path / "recorded", record_report_curve=True)
    last = [e for e in evaluations if e["split"] == "validation"][-1]
    assert recorded.report_curve.evaluations == 3
    assert (
        recorded.report_curve.last
        == last["metrics"]["accuracy"]
        == recorded.metrics["validation"]["accuracy"]
    )
    # Recording changes nothing but the cost: three times 1,000 rows in batches of 64.
    assert recorded.hashes["weights"] == plain.hashes["weights"]
    assert recorded.cost.evaluation_examples == plain.cost.evaluation_examples + 3 * 1000


def test_choosing_by_the_report_split_reports_the_best_of_its_evaluations(tmp_path: Path) -> None:
    result, evaluations = curved(tmp_path / "best", selection="best-on-report", selection_rows=0)
    best = max(evaluations, key=lambda e: e["metrics"]["accuracy"])
    assert result.selection == {"rule": "best-on-report", "step": best["step"]}
    assert result.metrics["validation"]["accuracy"] == result.report_curve.best == best["metrics"]["accuracy"]


def test_equal_texts_are_never_on_both_sides_of_the_selection_cut() -> None:
    texts = [[1, 2], [3], [3], [3], [4, 5]]
    offsets = np.cumsum([0, *map(len, texts)])
    ids = np.concatenate(texts)
    tokens = Tokens(ids, np.zeros_like(ids), offsets, np.zeros(5), np.arange(5), 0)
    protocol = catalogue.protocol("honest").model_copy(update={"selection_rows": 2})
    training, selection = split_off_selection(tokens, protocol)
    assert (selection.rows.tolist(), training.rows.tolist()) == ([0, 1, 2, 3], [4])


def test_collapse_and_chance() -> None:
    task, labels = catalogue.task("cola"), np.array([0, 1] * 50)
    good = np.eye(2)[labels]
    constant = np.tile([0.0, 1.0], (100, 1))
    noise = np.random.default_rng(0).normal(size=(100, 2))
    assert metrics.collapse(task, labels, good) == (None, pytest.approx(1 / 1000))
    assert metrics.collapse(task, labels, constant)[0] == "predicts one class"
    reason, p = metrics.collapse(task, labels, noise)
    assert reason is not None and "not better than chance" in reason and p > 0.05
    stsb, scores = catalogue.task("stsb"), np.linspace(0, 5, 100)
    assert metrics.collapse(stsb, scores, scores[:, None])[0] is None
    assert metrics.collapse(stsb, scores, np.ones((100, 1)))[0] == "predicts one value"
    assert metrics.scores(stsb, scores, np.ones((100, 1))) == {}


def test_a_broken_record_counts_as_absent_and_is_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = RunFolder(tmp_path)
    assert folder.result() is None and not folder.set_broken_aside()
    folder.result_path.write_text('{"schema_version": 1, "run_k')
    assert folder.set_broken_aside()
    assert "counts as missing" in caplog.text
    assert not folder.result_path.exists()
    assert (tmp_path / "result.json.broken").exists()


def _hold(folder: str, ready: str) -> None:
    with lock.hold_lock(Path(folder)):
        Path(ready).touch()
        time.sleep(60)


def test_the_lock_keeps_a_second_writer_out_until_the_first_is_dead(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    holder = context.Process(target=_hold, args=(str(tmp_path / "run"), str(tmp_path / "ready")))
    holder.start()
    try:
        while not (tmp_path / "ready").exists():
            time.sleep(0.05)
        with pytest.raises(HarnessError, match=f"process {holder.pid}"), lock.hold_lock(tmp_path / "run"):
            pass
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.join()
    with lock.hold_lock(tmp_path / "run"):
        assert (tmp_path / "run" / "lock").exists()
    assert not (tmp_path / "run" / "lock").exists()


def harness(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_run_by_hand_does_what_the_rule_does(tmp_path: Path) -> None:
    plan = toy_plan(tmp_path)
    out = str(tmp_path / "byhand")
    where = [
        "--task",
        "rotten_tomatoes",
        "--model",
        "tiny",
        "--method",
        "vanilla",
        "--seed",
        "1",
        "--out",
        out,
    ]
    done = harness("run", "--experiment", str(plan.file), *where)
    assert done.returncode == 0, done.stderr
    (path,) = Path(out).glob("toy/runs/*/*/*/*/result.json")
    by_rule = run_or_resume(plan, plan.runs[0], threads=1)
    assert Result.model_validate_json(path.read_text()).timeless() == by_rule.timeless()
    assert "\r" not in done.stderr and "batch 2 of 2" in done.stderr
    again = harness("run", "--experiment", str(plan.file), *where)
    assert again.returncode == 0 and len(list(path.parent.glob("attempts/*"))) == 1


RUN = ["run", "--task", "stsb", "--model", "tiny", "--method", "vanilla", "--seed", "1"]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["run", "--task", "stbs", *RUN[3:]], "unknown task 'stbs'; did you mean 'stsb'"),
        ([*RUN[:4], "bert-bse", *RUN[5:]], "unknown model 'bert-bse'"),
        ([*RUN, "--set", "epoch=1"], "unknown key 'epoch'; did you mean 'epochs'"),
        ([*RUN, "--set", "epochs=none"], "epochs: expected a valid integer, got 'none'"),
        ([*RUN, "--set", "device=gpu"], "--set: device: expected 'auto', 'cpu' or 'cuda', got 'gpu'"),
        ([*RUN, "--data-root", "/nowhere"], "data root /nowhere: no such folder"),
        (["step", *RUN, "--experiment", "smoke", "--key", "00000000"], "planned was 00000000"),
        (["run", "--experiment", "smoke", *RUN[1:-1], "9"], "unknown seed '9'"),
        (["plan", "quik"], "unknown experiment 'quik'; did you mean 'quick'"),
        (["tables", "config/nothing.yaml"], "config/nothing.yaml: no such file"),
    ],
)
def test_bad_input_is_a_plain_error_and_leaves_no_result(
    tmp_path: Path, arguments: list[str], part: str
) -> None:
    done = harness(*arguments, "--out", str(tmp_path / "out"))
    assert done.returncode == 1
    assert part in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("result.json"))


def test_a_results_folder_that_cannot_be_written_is_a_plain_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file where the folder should be")
    done = harness(*RUN, "--out", str(tmp_path / "out"))
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and "Traceback" not in done.stderr
