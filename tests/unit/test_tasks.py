"""Tasks, models and protocols as files: what they say is what runs get."""

from pathlib import Path

import pytest
import yaml

from harness.config import catalogue
from harness.config.base import check
from harness.config.experiment import Experiment
from harness.config.model import Model
from harness.config.table import FORMER_KINDS, TableSpec
from harness.plan.cost import cost_of
from harness.plan.grid import Cell
from harness.plan.plan import make_plan
from harness.plan.resolve import resolve
from harness.util.errors import ConfigErrors, HarnessError

GLUE = ["cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"]
ANLI = ["anli_r1", "anli_r2", "anli_r3", "anli_all", "anli_mnli"]


def cells(protocol: str = "honest", **changes: object) -> dict[str, Cell]:
    values = {
        "name": "t", "title": "T", "protocol": protocol, "tasks": ["cola"], "models": ["minilm"],
        "variants": ["vanilla"], "seeds": [1], **changes,
    }  # fmt: skip
    return {cell.name: cell for cell in resolve(Experiment.model_validate(values), "test")[0]}


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


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"metrics": ["pearson"]}, "metrics that fit classification"),
        ({"primary_metric": "f1", "metrics": ["accuracy"]}, "primary_metric to be one of the metrics"),
        ({"report": ["train"]}, "report to name splits other than train"),
        ({"metric": ["f1"]}, "did you mean 'metrics'"),
    ],
)
def test_errors_in_a_task_file_are_reported(tmp_path: Path, values: dict[str, object], part: str) -> None:
    folder = write(tmp_path / "mine", "own", parent="rotten_tomatoes", **values)
    with pytest.raises(ConfigErrors, match=part):
        catalogue.task("own", (folder,))


def test_subsets_and_seen_data_are_known_of_a_cell() -> None:
    found = cells(tasks=["qnli-subset", "cola", "mnli-subset", "anli_mnli"])
    assert found["qnli-subset/minilm/vanilla"].task.subset() == "train_subset: 8,999 of 104,743 rows of train"
    assert found["cola/minilm/vanilla"].task.subset() is None
    assert found["cola/minilm/vanilla"].contamination is None
    for task in ("mnli-subset", "anli_mnli"):
        assert "MultiNLI" in str(found[f"{task}/minilm/vanilla"].contamination)


def test_a_hub_id_is_a_model_and_its_name_fits_into_paths() -> None:
    found = cells(models=["acme/bert@v1.0"])
    (cell,) = found.values()
    assert cell.model_name == "acme--bert@v1.0"
    assert cell.model.hub is not None
    assert (cell.model.hub.repo, cell.model.hub.revision) == ("acme/bert", "v1.0")
    assert not cell.fetched
    with pytest.raises(ConfigErrors, match="unknown model 'miniln'; did you mean 'minilm'"):
        cells(models=["miniln"])


def test_unfetched_models_are_reported_apart_by_their_identity() -> None:
    found = cells(models=["bert-base-uncased", "roberta-base"])
    assert len({cell.identity for cell in found.values()}) == 2


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


def test_the_papers_grid_plans_at_once_with_its_cost() -> None:
    plan = make_plan(Path("config/paper.yaml"))
    assert len(plan.runs) == 12 * 2 * 11 * 5
    for cell in plan.cells:
        cost = cost_of(cell, plan.experiment.gpu_tflops)
        assert cost.forward_equivalents and cost.evaluation and cost.gpu_hours
    assert {cell.protocol.selection for cell in plan.cells} == {"last"}
    assert all(cell.protocol.record_report_curve for cell in plan.cells)


def test_a_subset_without_a_count_is_described_with_a_question_mark(tmp_path: Path) -> None:
    rows = {split: r.model_dump() for split, r in catalogue.task("rotten_tomatoes").rows.items()}
    rows["train"] = {"subset_of": "complete"}
    folder = write(tmp_path / "mine", "part", parent="rotten_tomatoes", rows=rows)
    assert catalogue.task("part", (folder,)).subset() == "train: ? of ? rows of complete"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rank": "accuracy"}, "rank: is now primary_metric"),
        ({"primary_metric": "f1", "rank": "f1"}, "rank: is now primary_metric"),
    ],
)
def test_a_renamed_key_of_a_task_is_refused_with_the_new_name(
    tmp_path: Path, values: dict[str, str], message: str
) -> None:
    folder = write(tmp_path / "mine", "renamed", parent="rotten_tomatoes", **values)
    with pytest.raises(ConfigErrors, match=message) as caught:
        catalogue.task("renamed", (folder,))
    assert len(caught.value.errors) == 1


def test_renamed_keys_of_models_and_kinds_of_tables_are_refused_with_the_new_name() -> None:
    values = {"title": "M", "hub": {"repo": "a/b"}, "licence": "x", "citation": "y"}
    errors = check(Model, {**values, "seen": {"mnli": "x"}}, "m.yaml")[1]
    assert errors == ["m.yaml: seen: is now contamination"]
    for former, present in FORMER_KINDS.items():
        errors = check(TableSpec, {"title": "T", "kind": former}, "t.yaml")[1]
        assert errors == [f"t.yaml: kind: expected {former} is now {present}, got '{former}'"]
