"""Experiments are checked as a whole before any job; keys change with what determines the numbers."""

from pathlib import Path

import pytest
import yaml

from harness.config.plan_file import read_plan_file
from harness.plan.cost import batches, training_cost, training_passes
from harness.plan.plan import make_plan, write_plan
from harness.util.errors import ConfigErrors, HarnessError
from harness.util.paths import CONFIG

GOOD = {
    "name": "test",
    "title": "A test",
    "settings": {"train_rows": 32},
    "tasks": ["rotten_tomatoes", "stsb"],
    "models": ["tiny"],
    "variants": ["vanilla", "freelb"],
    "seeds": [1, 2],
}


def experiment(folder: Path, **changes: object) -> Path:
    path = folder / "test.yaml"
    path.write_text(yaml.safe_dump({**GOOD, **changes}))
    return path


def test_the_grid_is_tasks_by_models_by_variants_by_seeds(tmp_path: Path) -> None:
    plan = make_plan(experiment(tmp_path))
    assert len(plan.runs) == 2 * 1 * 2 * 2
    assert plan.runs[0].name == "rotten_tomatoes/tiny/vanilla/seed1"
    assert len({run.key for run in plan.runs}) == len(plan.runs)


def test_all_errors_are_reported_at_once_with_file_key_and_nearest(tmp_path: Path) -> None:
    path = experiment(
        tmp_path,
        settings={"epoch": 3, "batch_size": "many"},
        tasks={"rotten_tomatos": {}, "stsb": {"learning_rate": -1}},
        variants={"freelb": {"arguments": {"steps": 0, "stepsize": 1}}, "vanila": {}},
        protocol="honets",
    )
    with pytest.raises(ConfigErrors) as caught:
        make_plan(path)
    message = "\n".join(caught.value.errors)
    for part in ("did you mean 'rotten_tomatoes'", "did you mean 'vanilla'", "did you mean 'honest'"):
        assert part in message
    assert "variants.freelb.arguments.steps: expected greater than or equal to 1, got 0" in message
    assert "did you mean 'step_size'" in message
    assert all(line.startswith(str(path)) for line in caught.value.errors)


def test_protocol_errors_name_the_layer_they_were_made_in(tmp_path: Path) -> None:
    path = experiment(tmp_path, settings={"epoch": 3}, tasks={"stsb": {"learning_rate": -1}})
    with pytest.raises(ConfigErrors) as caught:
        make_plan(path)
    message = "\n".join(caught.value.errors)
    assert "settings.epoch: unknown key 'epoch'; did you mean 'epochs'" in message
    assert "tasks.stsb.learning_rate: expected greater than 0, got -1" in message


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"seeds": [1, 1]}, "seeds: expected each seed once, repeated: 1"),
        ({"seeds": []}, "seeds"),
        ({"seeds": ["one"]}, "seeds.0: expected a valid integer, got 'one'"),
        ({"tasks": ["stsb", "stsb"]}, "repeated: stsb"),
        ({"nmae": "x"}, "did you mean 'name'"),
        ({"name": "Has Blanks"}, "name"),
    ],
)
def test_errors_in_the_experiment_itself(tmp_path: Path, changes: dict[str, object], part: str) -> None:
    with pytest.raises(ConfigErrors, match=part.replace("(", "\\(")):
        make_plan(experiment(tmp_path, **changes))


@pytest.mark.parametrize("text", ["a: [", "- a\n- b", "name: x\nname: y"])
def test_a_file_that_is_no_experiment_is_a_plain_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(HarnessError, match=r"broken\.yaml"):
        make_plan(path)


def test_every_shipped_experiment_and_list_is_valid() -> None:
    for path in sorted(CONFIG.glob("*.yaml")):
        if path.stem != "variants":
            assert make_plan(path).runs


def test_a_changed_setting_touches_exactly_its_runs(tmp_path: Path) -> None:
    before = {run.name: run.key for run in make_plan(experiment(tmp_path)).runs}
    changed = experiment(tmp_path, variants={"vanilla": {}, "freelb": {"arguments": {"steps": 4}}})
    after = {run.name: run.key for run in make_plan(changed).runs}
    assert {name for name in before if before[name] != after[name]} == {n for n in before if "freelb" in n}
    more = experiment(tmp_path, seeds=[1, 2, 3])
    again = {run.name: run.key for run in make_plan(more).runs}
    assert before.items() <= again.items()


def test_a_name_belongs_to_one_file(tmp_path: Path) -> None:
    results = tmp_path / "results"
    first = experiment(tmp_path)
    write_plan(make_plan(first, results))
    copy = tmp_path / "copy.yaml"
    copy.write_text(first.read_text())
    make_plan(copy, results)  # the same content
    copy.write_text(yaml.safe_dump({**GOOD, "seeds": [9]}))
    with pytest.raises(HarnessError, match=r"copy.yaml: name: test is taken: .*results.* of .*test.yaml"):
        make_plan(copy, results)
    make_plan(copy, tmp_path / "other-results")
    first.rename(tmp_path / "away.yaml")
    with pytest.raises(HarnessError, match="no such file"):
        make_plan(first, results)
    assert make_plan(copy, results).runs  # the first file is gone: this is it, moved and edited


def test_a_later_layer_that_sets_epochs_replaces_steps(tmp_path: Path) -> None:
    def lengths(**changes: object) -> set[tuple[int | None, int]]:
        cells = make_plan(
            experiment(tmp_path, protocol="paper", tasks=["rte"], models=["roberta-large"], **changes)
        ).cells
        return {(cell.protocol.steps, cell.protocol.epochs) for cell in cells}

    safe = {"selection": "last", "precision": "fp32"}
    assert any(steps for steps, _ in lengths(settings=safe))
    assert lengths(settings={**safe, "epochs": 1}) == {(None, 1)}
    assert {steps for steps, _ in lengths(settings={**safe, "steps": 7})} == {7}


def test_words_of_yaml_1_1_are_no_booleans(tmp_path: Path) -> None:
    path = tmp_path / "test.yaml"
    variants = "variants: {freelb: {arguments: {dropout: off}}}"
    plain = yaml.safe_dump({k: v for k, v in GOOD.items() if k != "variants"})
    path.write_text(f"{plain}{variants}\n")
    assert make_plan(path).cells[0].method.arguments.dropout == "off"
    path.write_text(f"{plain}{variants}\ndeterministic: yes\n")
    with pytest.raises(ConfigErrors, match="deterministic: expected true or false, got 'yes'"):
        make_plan(path)


def test_an_unchanged_plan_is_not_written_again(tmp_path: Path) -> None:
    plan = make_plan(experiment(tmp_path), tmp_path / "results")
    path = write_plan(plan)
    first = path.stat().st_mtime_ns
    assert write_plan(make_plan(plan.file, plan.results)).stat().st_mtime_ns == first


def test_cost_counts_examples_not_batches(tmp_path: Path) -> None:
    """A run with smaller batches, and one with an incomplete last batch, train the same examples."""
    costs = set()
    for size in (32, 8, 5):
        cell = make_plan(experiment(tmp_path, settings={"train_rows": 32, "batch_size": size})).cells[0]
        costs.add(training_cost(cell))
    assert costs == {3 * 32 * 3}
    steps = experiment(tmp_path, settings={"train_rows": 32, "batch_size": 5, "steps": 8})
    assert training_cost(make_plan(steps).cells[0]) == 3 * (32 + 5)


def test_passes_are_those_of_all_batches(tmp_path: Path) -> None:
    cell = make_plan(experiment(tmp_path)).cells[1]
    assert batches(cell) == 3  # 32 rows, batches of 32, 3 epochs
    passes = training_passes(cell)
    assert passes is not None
    assert passes.as_dict() == {
        "forward": 9, "backward": 9, "input_backward": 0, "optimizer_steps": 3,
    }  # fmt: skip


def test_plan_json_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    plan = make_plan(experiment(tmp_path), tmp_path / "results")
    path = write_plan(plan)
    assert read_plan_file(path) == plan.as_file()
    path.write_text(path.read_text().replace('"schema_version": 3', '"schema_version": 1', 1))
    with pytest.raises(HarnessError, match="not a plan of version 3"):
        read_plan_file(path)
