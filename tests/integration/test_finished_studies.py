"""What is message of searches: ledger, MLflow, figures, bundles; from the tuned files and records alone."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import fake_runs, searches

from harness.config.table import load_tables
from harness.config.tuned import TrialRecord, read_records, read_tuned, records_path
from harness.figures.tuning import expected_best, importances, sampled_scores, write_study_figures
from harness.plan.cost import trial_cost
from harness.plan.plan import Plan, make_plan, write_plan
from harness.plan.searches import ledger_of
from harness.plan.searches import searches as finished_searches
from harness.report.bundle import make_bundle, merge_bundle
from harness.report.explain import explanation
from harness.results.frame import build_frame
from harness.tables.kinds.tuning import gains, tuning_table
from harness.tables.table import Numbers
from harness.tracking.mirror import MirrorCounts, mirror
from harness.tracking.store import open_store, store_lock
from harness.tuning import worker
from harness.tuning.trial import TrialProgress
from harness.tuning.tuned_file import write_tuned_file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two finished searches; trials score by their learning rate, at what they declare."""
    made = tmp_path_factory.mktemp("searches")
    patch = pytest.MonkeyPatch()
    patch.setattr(worker, "run_trial", pretended)
    plan = searches.plan(made, tuning={"trials": 9})
    for study in plan.studies():
        worker.run_trials(plan, study, 1, 1)
        write_tuned_file(plan, study)
    patch.undo()
    return made


def pretended(
    plan: Plan, cells: Any, seeds: int, progress: TrialProgress, on_evaluation: Any, stop: Any
) -> float:
    score = 0.9 - abs(cells[0].protocol.learning_rate - 2e-4) * 100
    progress.forward_equivalents, progress.seconds = trial_cost(cells, seeds) or 0, 2.0
    for share in (0.5, 1.0):
        progress.scores.append(share * score)
        on_evaluation(share == 1.0)
    return score


def plan_of(folder: Path, **changes: Any) -> Plan:
    content = {**yaml.safe_load((folder / "toy.yaml").read_text()), **changes}
    searches.write(folder / f"{content['name']}.yaml", yaml.safe_dump(content, sort_keys=False))
    return make_plan(folder / f"{content['name']}.yaml", folder / "results")


def table_of(plan: Plan) -> tuple[list[list[str]], list[Numbers], list[str]]:
    table = tuning_table("tuning", load_tables()["tuning"], plan.as_file(), build_frame(plan))
    return [row for block in table.blocks for row in block.rows], table.numbers, table.notes


def test_the_ledger_tells_what_was_spent_and_gained(folder: Path) -> None:
    plan = plan_of(folder)
    for run in plan.runs:
        gain = {"vanilla-tuned": 0.01, "freelb-tuned": 0.02 * run.seed}.get(run.cell.variant, 0.0)
        fake_runs.plant(plan, run, 0.70 + gain)
    rows, numbers, notes = table_of(plan)
    for row, facts in zip(rows, numbers, strict=True):
        records = read_records(records_path(plan.folder / "tuned" / f"{facts['study_name']}.yaml"))
        spent = sum(r.forward_equivalents or 0 for r in records)
        assert facts["forward_equivalents"] == spent == ledger_of(records).forward_equivalents
        assert facts["seconds"] == 18.0 and facts["trials"] == 9 == facts["complete"] + facts["pruned"]
        assert row[:3] == [facts["variant"], "9 trials", "9"]
    assert rows[0][-1] == "+1.0 ±0.0 (2/2)" and rows[1][-1] == "+3.0 ±1.4 (2/2)"
    assert numbers[1]["forward_equivalents"] > numbers[0]["forward_equivalents"]  # FreeLB's trials cost more
    assert numbers[0]["defaults_variant"] == "vanilla" and numbers[0]["gain"] == pytest.approx(1.0)
    assert not any("no such variant" in note for note in notes)


def test_without_the_defaults_no_gain_is_reported(folder: Path) -> None:
    variants = {"freelb-tuned": {"of": "freelb", "arguments": "tuned"}}
    rows, _, _ = table_of(plan_of(folder, name="alone", variants=variants))
    assert rows == [["freelb-tuned", "9 trials", "to do", *["-"] * 10]]
    planned = plan_of(folder).as_file()
    cell = planned.cells["words/tiny/freelb-tuned"]
    assert cell.tuning is not None
    cell = cell.model_copy(update={"tuning": cell.tuning.model_copy(update={"defaults": None})})
    alone = planned.model_copy(update={"cells": {"words/tiny/freelb-tuned": cell}})
    table = tuning_table("tuning", load_tables()["tuning"], alone, [])
    assert table.blocks[0].rows[0][-1] == "no such variant"
    assert table.notes[-1] == "no such variant: the experiment does not train the defaults of freelb-tuned."
    assert gains(cell, None, []) == []


def stored_runs(plan: Plan) -> list[Any]:
    """Return the runs of the store, as MLflow's client returns them."""
    with store_lock(plan.results):
        store = open_store(plan.results, "toy")
    return list(store.client.search_runs([store.experiment], max_results=1000))


def test_mlflow_holds_each_search_and_trial_once_and_nested(folder: Path) -> None:
    plan = plan_of(folder)
    write_plan(plan)
    first = mirror(plan.results, "toy")
    again = mirror(plan.results, "toy")
    assert again == MirrorCounts(added=0, kept=first.added + first.kept, superseded=0)
    runs = stored_runs(plan)
    tags = {run.info.run_id: run.data.tags for run in runs}
    parents = {
        tags[r.info.run_id]["search"]: r
        for r in runs
        if "search" in tags[r.info.run_id] and "mlflow.parentRunId" not in tags[r.info.run_id]
    }
    assert set(parents) == {"words/tiny/vanilla", "words/tiny/freelb"}
    for name, parent in parents.items():
        records = read_records(plan.folder / "tuned" / f"{name}.trials.jsonl")
        trials = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
        assert sorted(t.data.metrics["trial.forward_equivalents"] for t in trials) == sorted(
            r.forward_equivalents for r in records
        )
        spent = sum(r.forward_equivalents for r in records)
        assert parent.data.metrics["ledger.forward_equivalents"] == spent
        assert {t.data.tags["outcome"] for t in trials} <= {"complete", "pruned"}
    path = plan.folder / "tuned" / "words" / "tiny" / "freelb.trials.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:-1], json.dumps({**json.loads(lines[-1]), "seconds": 3.0})]) + "\n")
    changed = mirror(plan.results, "toy")
    assert changed.added == 1 + len(lines) and changed.superseded == 0
    assert len(stored_runs(plan)) == len(runs)
    path.write_text("\n".join(lines) + "\n")


def test_figures_of_searches_are_the_same_bytes_each_time(folder: Path, tmp_path: Path) -> None:
    plan = plan_of(folder)
    first = write_study_figures(plan.folder, tmp_path / "a")
    second = write_study_figures(plan.folder, tmp_path / "b")
    assert [p.name for p in first] == [p.name for p in second] and len(first) == 9
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    (freelb,) = [s for s in finished_searches(plan.folder) if s.tuned.variant == "freelb"]
    found = importances(freelb)
    assert next(iter(found)) == "learning_rate" and sum(found.values()) == pytest.approx(1.0)


def test_the_expected_best_is_that_of_draws_without_end() -> None:
    assert expected_best([0.5, 0.7]) == pytest.approx([0.6, 0.65])
    scores = [0.1, 0.4, 0.2, 0.9]
    found = expected_best(scores)
    assert found[0] == pytest.approx(sum(scores) / 4) and found == sorted(found) and found[-1] < 0.9
    pairs = [max(a, b) for a in scores for b in scores]
    assert found[1] == pytest.approx(sum(pairs) / len(pairs))
    records = [
        record(defaults=True, score=0.9),
        record(),
        record(outcome="pruned", score=None, last_score=0.3),
        record(outcome="failed", score=None, last_score=None),
        record(outcome="killed"),
    ]
    assert sampled_scores(records) == [0.5, 0.3, 0.3]


def record(**changes: Any) -> TrialRecord:
    values = {"outcome": "complete", "defaults": False, "score": 0.5, "last_score": 0.5, **changes}
    return TrialRecord(
        trial=0, worker=1, code={}, values={}, scores=[], forward_passes=1, backward_passes=0,
        input_backward_passes=0, optimizer_steps=0, seconds=1.0, forward_equivalents=1, reason="",
        **values,
    )  # fmt: skip


def test_a_bundle_takes_the_tuned_files_along(folder: Path, tmp_path: Path) -> None:
    plan = plan_of(folder)
    write_plan(plan)
    for name in ("frame.parquet", "comparisons.parquet", "statistics.parquet", "environment.json"):
        (plan.folder / name).touch()
    for run in plan.runs[:1]:
        fake_runs.plant(plan, run, 0.7)
    make_bundle(plan, tmp_path / "toy.tar.gz")
    merge_bundle(tmp_path / "toy.tar.gz", tmp_path / "results")
    there = make_plan(folder / "toy.yaml", tmp_path / "results")
    assert not any(cell.awaits_tuning for cell in there.cells)
    assert [run.key for run in there.runs] == [run.key for run in plan.runs]
    records = there.folder / "tuned" / "words" / "tiny" / "freelb.trials.jsonl"
    assert (
        records.read_bytes()
        == (plan.folder / "tuned" / "words" / "tiny" / "freelb.trials.jsonl").read_bytes()
    )


def test_explain_tells_the_search_behind_a_cell(folder: Path) -> None:
    plan = plan_of(folder)
    message = {cell.variant: explanation(plan, cell) for cell in plan.cells}
    study = searches.study(plan)
    found = read_tuned(plan.tuned_file(study))
    assert (
        f"study: {study.hash[:8]}, " in message["freelb-tuned"]
        and "freelb.yaml: trial " in message["freelb-tuned"]
    )
    assert f"{found.selection['score']:.4f} on the selection split" in message["freelb-tuned"]
    assert "study: none" in message["freelb"]
    waiting = plan_of(folder, name="other", title="Waits")
    assert "not finished" in explanation(waiting, waiting.cells[-1])
