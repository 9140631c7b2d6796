"""Runs of tasks and models from custom files: flags, steps, evaluation passes, refusals."""

from pathlib import Path

import pytest
import yaml
from support.experiments import toy_plan

from harness.config import catalogue
from harness.plan.cost import batches, evaluation_examples, training_cost
from harness.runs.run_or_resume import run_or_resume
from harness.util.errors import ConfigErrors, HarnessError


def write(folder: Path, name: str, **values: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(values))
    return folder


def test_a_task_of_ones_own_is_one_more_file(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine", "rotten", parent="rotten_tomatoes", metrics=["f1"], primary_metric="f1")
    plan = toy_plan(tmp_path, tasks=["rotten"], tasks_dirs=[str(folder)])
    assert run_or_resume(plan, plan.runs[0], threads=1).metrics["validation"].keys() == {"f1"}
    with pytest.raises(ConfigErrors, match=r"unknown task 'rotten'; .*valid: .*rotten_tomatoes"):
        toy_plan(tmp_path, tasks=["rotten"])
    with pytest.raises(HarnessError, match="no such folder"):
        toy_plan(tmp_path, tasks=["rotten"], tasks_dirs=[str(tmp_path / "nowhere")])


def test_flags_of_a_run_name_subset_seen_data_and_truncated_texts(tmp_path: Path) -> None:
    rows = {split: r.model_dump() for split, r in catalogue.task("rotten_tomatoes").rows.items()}
    rows["train"]["subset_of"] = "whole"
    rows["whole"] = {"count": 10_000}
    folder = write(tmp_path / "mine", "mnli", parent="rotten_tomatoes", rows=rows)
    plan = toy_plan(tmp_path, tasks=["mnli"], tasks_dirs=[str(folder)], models=["minilm"])
    flags = run_or_resume(plan, plan.runs[0], threads=1).flags
    assert flags["subset"] == "train: 3,863 of 10,000 rows of whole"
    assert "MultiNLI" in flags["contamination"]
    assert flags["truncated"]["validation"] > 100  # 16 tokens are few


def test_a_second_family_of_random_encoders_trains(tmp_path: Path) -> None:
    plan = toy_plan(tmp_path, models=["tiny-roberta"], variants=["freelb"])
    assert run_or_resume(plan, plan.runs[0], threads=1).status in ("ok", "collapsed")


def test_steps_replace_epochs_and_a_warm_up_may_be_counted(tmp_path: Path) -> None:
    settings = {"batch_size": 8, "train_rows": 16, "selection_rows": 16, "max_length": 16, "epochs": 1}
    plan = toy_plan(tmp_path, settings={**settings, "steps": 5, "warmup": 2})
    result = run_or_resume(plan, plan.runs[0], threads=1)
    assert result.cost.optimizer_steps == batches(plan.cells[0]) == 5
    assert result.curve.evaluations == 3  # after batches 2, 4 and the last one


def test_planned_examples_are_those_that_a_run_counts(tmp_path: Path) -> None:
    settings = {"epochs": 2, "batch_size": 8, "train_rows": 20, "selection_rows": 100, "max_length": 16}
    for extra in ({}, {"record_report_curve": True, "evaluations_per_epoch": 2}, {"steps": 4}):
        plan = toy_plan(tmp_path, settings={**settings, **extra})
        cost = run_or_resume(plan, plan.runs[0], threads=1).cost
        assert evaluation_examples(plan.cells[0]) == cost.evaluation_examples
        assert training_cost(plan.cells[0]) == cost.forward_equivalents  # the last batch has 4 examples


def test_one_class_among_the_rows_that_are_left_is_refused(tmp_path: Path) -> None:
    settings = {"epochs": 1, "batch_size": 8, "train_rows": 1, "selection_rows": 16, "max_length": 16}
    plan = toy_plan(tmp_path, settings=settings)
    with pytest.raises(HarnessError, match="the 1 training rows all have the same label"):
        run_or_resume(plan, plan.runs[0], threads=1)
