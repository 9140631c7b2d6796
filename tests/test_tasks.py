"""Tasks, models and protocols as files: what they say is what runs get."""

from pathlib import Path

import pytest
import toyplan
import yaml

from harness.errors import HarnessError, MistakesError
from harness.plan import catalogue
from harness.plan.cost import batches, cost_of, evaluation_passes
from harness.plan.experiment import Experiment
from harness.plan.grid import Cell
from harness.plan.plan import make_plan
from harness.plan.resolve import resolve
from harness.runs.execute import execute

GLUE = ["cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"]
ANLI = ["anli_r1", "anli_r2", "anli_r3", "anli_all", "anli_mnli"]


def cells(protocol: str = "honest", **changes: object) -> dict[str, Cell]:
    values = {
        "name": "t", "title": "T", "protocol": protocol, "tasks": ["cola"], "models": ["minilm"],
        "variants": ["vanilla"], "seeds": [1], **changes,
    }  # fmt: skip
    return {cell.name: cell for cell in resolve(Experiment.model_validate(values), "test")}


def write(folder: Path, name: str, **values: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(values))
    return folder


def test_glue_and_anli_are_all_there_and_state_their_rows() -> None:
    for name in [*GLUE, *ANLI]:
        task = catalogue.task(name)
        assert task.count(task.train) and all(task.count(split) for split in task.report), name
        assert task.licence and task.citation


def test_mnli_is_trained_once_and_reports_both_dev_sets() -> None:
    assert catalogue.task("mnli").report == ["validation_matched", "validation_mismatched"]


def test_a_split_is_made_of_its_parts_also_of_another_task() -> None:
    task = catalogue.task("anli_mnli")
    assert task.parts_of("train") == ["mnli/train", "train_r1", "train_r2", "train_r3"]
    assert task.count("train") == 392702 + 16946 + 45460 + 100459
    assert catalogue.task("anli_r2").used() == ["train_r2", "dev_r2", "test_r2"]


def test_a_borrowed_split_must_have_the_same_labels(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine", "odd", parent="anli_all", parts={"train": ["sst2/train"]})
    with pytest.raises(HarnessError, match=r"odd.yaml: parts: sst2 has other labels or another number"):
        catalogue.task("odd", (folder,))


def test_a_parent_that_is_wrong_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine", "child", parent="colla")
    with pytest.raises(HarnessError, match=r"child.yaml: parent: unknown task 'colla'; did you mean 'cola'"):
        catalogue.task("child", (folder,))
    write(folder, "loop", parent="loop")
    with pytest.raises(HarnessError, match="is its own parent"):
        catalogue.task("loop", (folder,))


def test_a_task_of_ones_own_is_one_more_file(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine", "rotten", parent="rotten_tomatoes", metrics=["f1"], rank="f1")
    plan = toyplan.plan(tmp_path, tasks=["rotten"], tasks_dirs=[str(folder)])
    assert execute(plan, plan.runs[0], threads=1).metrics["validation"].keys() == {"f1"}
    with pytest.raises(MistakesError, match=r"unknown task 'rotten'; .*valid: .*rotten_tomatoes"):
        toyplan.plan(tmp_path, tasks=["rotten"])
    with pytest.raises(HarnessError, match="there is no such folder"):
        toyplan.plan(tmp_path, tasks=["rotten"], tasks_dirs=[str(tmp_path / "nowhere")])


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"metrics": ["pearson"]}, "metrics that fit classification"),
        ({"rank": "f1", "metrics": ["accuracy"]}, "rank to be one of the metrics"),
        ({"report": ["train"]}, "report to name other splits than train"),
        ({"metric": ["f1"]}, "did you mean 'metrics'"),
    ],
)
def test_mistakes_in_a_task_file_are_told(tmp_path: Path, values: dict[str, object], part: str) -> None:
    folder = write(tmp_path / "mine", "own", parent="rotten_tomatoes", **values)
    with pytest.raises(MistakesError, match=part):
        catalogue.task("own", (folder,))


def test_subsets_and_seen_data_are_known_of_a_cell() -> None:
    found = cells(tasks=["qnli-subset", "cola", "mnli-subset", "anli_mnli"])
    assert found["qnli-subset/minilm/vanilla"].task.subset() == "train_subset: 8,999 of 104,743 rows of train"
    assert found["cola/minilm/vanilla"].task.subset() is None
    assert found["cola/minilm/vanilla"].seen is None
    for task in ("mnli-subset", "anli_mnli"):
        assert "MultiNLI" in str(found[f"{task}/minilm/vanilla"].seen)


def test_flags_of_a_run_name_subset_seen_data_and_cut_texts(tmp_path: Path) -> None:
    rows = {split: r.model_dump() for split, r in catalogue.task("rotten_tomatoes").rows.items()}
    rows["train"]["subset_of"] = "whole"
    rows["whole"] = {"count": 10_000}
    folder = write(tmp_path / "mine", "mnli", parent="rotten_tomatoes", rows=rows)
    plan = toyplan.plan(tmp_path, tasks=["mnli"], tasks_dirs=[str(folder)], models=["minilm"])
    flags = execute(plan, plan.runs[0], threads=1).flags
    assert flags["subset"] == "train: 3,863 of 10,000 rows of whole"
    assert "MultiNLI" in flags["seen"]
    assert flags["cut_texts"]["validation"] > 100  # 16 tokens are few


def test_a_hub_id_is_a_model_and_its_name_fits_into_paths() -> None:
    found = cells(models=["acme/bert@v1.0"])
    (cell,) = found.values()
    assert cell.model_name == "acme--bert@v1.0"
    assert cell.model.hub is not None
    assert (cell.model.hub.repo, cell.model.hub.revision) == ("acme/bert", "v1.0")
    assert not cell.fetched
    with pytest.raises(MistakesError, match="unknown model 'miniln'; did you mean 'minilm'"):
        cells(models=["miniln"])


def test_unfetched_models_are_told_apart_by_their_identity() -> None:
    found = cells(models=["bert-base-uncased", "roberta-base"])
    assert len({cell.identity for cell in found.values()}) == 2


def test_a_second_family_of_random_encoders_trains(tmp_path: Path) -> None:
    plan = toyplan.plan(tmp_path, models=["tiny-roberta"], variants=["freelb"])
    assert execute(plan, plan.runs[0], threads=1).status in ("ok", "collapsed")


def test_rules_of_a_protocol_reach_the_cells_that_they_name() -> None:
    """The authors' CoLA log: batch 64, 20 epochs, K_theta 10, K_delta 5, lambda 3, lr 1e-5, warm-up .1."""
    found = cells(
        "paper", tasks=["cola", "rte"], models=["bert-base-uncased"], variants=["mat", "mat-code", "vanilla"]
    )
    logged = found["cola/bert-base-uncased/mat"]
    assert (logged.protocol.batch_size, logged.protocol.epochs, logged.protocol.warmup) == (64, 20, 0.1)
    arguments = logged.method.arguments.model_dump()
    assert (arguments["steps_theta"], arguments["steps_delta"], arguments["weight"]) == (10, 5, 3.0)
    assert not arguments["aliased"]
    assert found["cola/bert-base-uncased/mat-code"].method.arguments.model_dump()["aliased"]
    assert found["rte/bert-base-uncased/mat"].protocol.epochs == 10  # run.sh: no log
    assert found["cola/bert-base-uncased/vanilla"].protocol.learning_rate == 3e-5
    assert {cell.protocol.selection for cell in found.values()} == {"best-on-report"}


def test_settings_win_in_their_order_and_rules_fit_children_of_a_task(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine", "mycola", parent="cola")
    found = cells(
        "paper", tasks={"mycola": {"epochs": 2}}, models=["bert-base-uncased"], tasks_dirs=[str(folder)],
        variants={"mat": {"arguments": {"steps_delta": 7}}}, settings={"batch_size": 8, "epochs": 5},
    )["mycola/bert-base-uncased/mat"]  # fmt: skip
    assert (found.protocol.batch_size, found.protocol.epochs) == (8, 2)
    assert found.method.arguments.model_dump()["steps_delta"] == 7
    assert found.method.arguments.model_dump()["weight"] == 3.0  # the rule for cola


def test_steps_replace_epochs_and_a_warm_up_may_be_counted(tmp_path: Path) -> None:
    settings = {"batch_size": 8, "train_rows": 16, "selection_rows": 16, "max_length": 16, "epochs": 1}
    plan = toyplan.plan(tmp_path, settings={**settings, "steps": 5, "warmup": 2})
    result = execute(plan, plan.runs[0], threads=1)
    assert result.cost.optimizer_steps == batches(plan.cells[0]) == 5
    assert result.curve.evaluations == 3  # after batches 2, 4 and the last one


def test_planned_passes_of_evaluations_are_those_that_a_run_counts(tmp_path: Path) -> None:
    settings = {"epochs": 2, "batch_size": 8, "train_rows": 20, "selection_rows": 100, "max_length": 16}
    for extra in ({}, {"record_report_curve": True, "evaluations_per_epoch": 2}, {"steps": 4}):
        plan = toyplan.plan(tmp_path, settings={**settings, **extra})
        counted = execute(plan, plan.runs[0], threads=1).cost.evaluation_passes
        assert evaluation_passes(plan.cells[0]) == counted


def test_the_papers_grid_plans_at_once_with_its_cost() -> None:
    plan = make_plan(Path("config/paper.yaml"))
    assert len(plan.runs) == 12 * 2 * 11 * 5
    for cell in plan.cells:
        cost = cost_of(cell, plan.experiment.gpu_tflops)
        assert cost.worth and cost.evaluation and cost.gpu_hours
    assert {cell.protocol.selection for cell in plan.cells} == {"last"}
    assert all(cell.protocol.record_report_curve for cell in plan.cells)


def test_one_class_among_the_rows_that_are_left_is_refused(tmp_path: Path) -> None:
    settings = {"epochs": 1, "batch_size": 8, "train_rows": 1, "selection_rows": 16, "max_length": 16}
    plan = toyplan.plan(tmp_path, settings=settings)
    with pytest.raises(HarnessError, match="the 1 training rows all have the same label"):
        execute(plan, plan.runs[0], threads=1)
