"""Exported results: the frame, comparisons and failures, from planted run folders."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.experiments import toy_plan
from support.fake_runs import ROWS, plant

from harness.config.table import load_tables
from harness.plan.grid import Run
from harness.plan.plan import Plan
from harness.results.comparisons import comparisons_path, write_comparisons
from harness.results.frame import frame_path, read_frame, write_frame
from harness.runs import failures
from harness.runs.folder import RunFolder
from harness.runs.history import reason_to_run
from harness.runs.run_or_resume import FAILED
from harness.tables.build import make_table
from harness.util.lock import hold_lock


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return toy_plan(
        tmp_path, tasks=["rotten_tomatoes", "stsb"], variants=["vanilla", "freelb"], seeds=[1, 2, 3]
    )


def fail(plan: Plan, run: Run, last: str) -> None:
    """Write the log of a failed attempt."""
    path = RunFolder(plan.run_folder(run)).next_attempt()
    path.write_text(f"2026-01-01 INFO going\n{last}\n")


def plant_all(plan: Plan) -> None:
    """Plant runs of every kind."""
    for number, run in enumerate(plan.runs[:8]):
        flags: dict[str, Any] = {"chance_p": 0.001, "perturbation": {"l2": 0.1, "resolved": True}}
        plant(plan, run, 0.5 + number / 100, curve=[(1, 0.25), (2, 1 / 3)], subset="a part", **flags)
    plant(plan, plan.runs[8], None, "diverged")
    fail(plan, plan.runs[9], f"{FAILED}MemoryError: none left")


def test_a_running_run_has_not_failed(plan: Plan) -> None:
    fail(plan, plan.runs[0], "INFO training")
    with hold_lock(plan.run_folder(plan.runs[0])):
        assert failures.write_failures(plan) is None
    assert failures.write_failures(plan) is not None


def test_the_frame_has_a_row_for_every_planned_run(plan: Plan) -> None:
    plant_all(plan)
    rows = write_frame(plan)
    assert [row.run_key for row in rows] == [run.key for run in plan.runs]
    assert [row.status for row in rows] == ["ok"] * 8 + ["diverged", "failed", "missing", "missing"]
    assert [row.score for row in rows] == [pytest.approx(0.5 + n / 100) for n in range(8)] + [None] * 4
    assert rows[0].curve_steps == [1, 2] and rows[0].curve_scores == [0.25, 1 / 3]
    assert [row.subset for row in rows][:9] == ["a part"] * 8 + [""]
    assert rows[0].values["chance_p"] == 0.001 and rows[0].values["perturbation.l2"] == 0.1
    assert read_frame(frame_path(plan)) == rows
    assert pd.read_parquet(frame_path(plan))["score"].isna().tolist() == [False] * 8 + [True] * 4


def test_an_interrupted_run_is_neither_failed_nor_missing(plan: Plan) -> None:
    run = plan.runs[0]
    fail(plan, run, f"{FAILED}InterruptedRunError: interrupted after batch 3 of 10; checkpoint written")
    fail(plan, plan.runs[1], f"{FAILED}MemoryError: none left")
    rows = write_frame(plan)
    assert [row.status for row in rows[:3]] == ["interrupted", "failed", "missing"]
    assert rows[0].reason == "interrupted after batch 3 of 10; checkpoint written"
    text = failures.write_failures(plan)
    assert text is not None and run.name not in text and text.startswith("# toy: 1 failed")
    assert reason_to_run(plan, run, {}).startswith("interrupted: interrupted after batch 3")
    table = make_table("main", load_tables()["main"], plan.as_file(), rows, {})
    assert table.blocks[0].rows[0][1] == "- mfi (0/3)"
    assert any(note.startswith("i = interrupted: stopped on request") for note in table.notes)
    fail(plan, run, "INFO training")  # a later attempt was killed
    assert write_frame(plan)[0].status == "failed"


def test_comparisons_hold_every_reported_example_of_every_run(plan: Plan) -> None:
    plant_all(plan)
    table = pd.read_parquet(write_comparisons(plan))
    assert list(table.columns) == ["task", "model", "variant", "seed", "split", "row", "label", "prediction"]
    assert len(table) == 8 * ROWS
    for (task, variant, seed), rows in table.groupby(["task", "variant", "seed"], observed=True):
        (run,) = [r for r in plan.runs if r.name == f"{task}/tiny/{variant}/seed{seed}"]
        predictions = pd.read_parquet(RunFolder(plan.run_folder(run)).predictions_path)
        logits = predictions[[c for c in predictions if c.startswith("logit_")]].to_numpy()
        expected = logits[:, 0] if task == "stsb" else logits.argmax(1)
        assert rows["prediction"].tolist() == expected.tolist()
        assert rows["label"].tolist() == predictions["label"].tolist()
    table.to_parquet(comparisons_path(plan.folder))  # without the hash, as earlier versions did
    pd.testing.assert_frame_equal(pd.read_parquet(write_comparisons(plan)), table)


def test_failures_are_grouped_by_cause(plan: Plan) -> None:
    plant(plan, plan.runs[0], 0.5).next_attempt().write_text("fine\n")
    for run in plan.runs[1:6]:
        fail(plan, run, f"{FAILED}RuntimeError: {run.name}: no memory for {run.seed * 1000} bytes")
    fail(plan, plan.runs[6], "INFO training")
    text = failures.write_failures(plan)
    assert text is not None
    assert text.startswith("# toy: 6 failed, 1 of 12 runs done")
    assert f"## 5 x RuntimeError: {plan.runs[1].name}: no memory for" in text
    assert "- and 2 more" in text
    assert f"## 1 x {failures.NO_ERROR_LOGGED}" in text
    assert failures.retry_command(plan) in text
    listed = (plan.folder / "failed.txt").read_text().splitlines()
    assert sorted(listed) == sorted(str(RunFolder(plan.run_folder(r)).result_path) for r in plan.runs[1:7])
    for run in plan.runs[1:7]:
        plant(plan, run, 0.5)
    assert failures.write_failures(plan) is None
    assert not (plan.folder / "failed.txt").exists()
