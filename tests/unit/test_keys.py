"""Run keys: what determines a number is in them, and nothing else."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from support.experiments import toy_plan

from harness.config.experiment import Experiment
from harness.config.protocol import Protocol
from harness.methods.registry import method_class, method_source
from harness.plan import keys

SETTINGS: dict[str, st.SearchStrategy[Any]] = {
    "epochs": st.integers(1, 4),
    "steps": st.none() | st.integers(1, 4),
    "batch_size": st.sampled_from([4, 8]),
    "learning_rate": st.sampled_from([1e-4, 2e-4]),
    "schedule": st.sampled_from(["linear", "constant"]),
    "warmup": st.sampled_from([0.0, 0.1, 3]),
    "weight_decay": st.sampled_from([0.0, 0.1]),
    "decay_bias_and_norm": st.booleans(),
    "adam_betas": st.sampled_from([[0.9, 0.999], [0.9, 0.98]]),
    "adam_epsilon": st.sampled_from([1e-8, 1e-6]),
    "clip_norm": st.sampled_from([0.0, 1.0]),
    "max_length": st.sampled_from([8, 16]),
    "evaluations_per_epoch": st.integers(1, 2),
    "selection": st.sampled_from(["last", "best-on-selection"]),
    "record_report_curve": st.booleans(),
    "selection_rows": st.sampled_from([8, 16]),
    "train_rows": st.none() | st.sampled_from([8, 16]),
    "hidden_dropout": st.none() | st.sampled_from([0.0, 0.1]),
    "attention_dropout": st.none() | st.sampled_from([0.0, 0.1]),
    "head_dropout": st.none() | st.sampled_from([0.0, 0.1]),
    "head_bias": st.sampled_from(["zero", "train-mean"]),
    "precision": st.sampled_from(["fp32", "bf16"]),
}
"""A few values of each protocol setting."""
SILENT: dict[str, st.SearchStrategy[Any]] = {
    "name": st.sampled_from(["toy", "other"]),
    "title": st.text(min_size=1, max_size=5),
    "banner": st.none() | st.text(max_size=5),
    "seeds": st.just([1, 2]),
    "threads": st.integers(1, 4),
    "runs_per_job": st.integers(1, 4),
    "cluster": st.booleans(),
    "checkpoint_minutes": st.sampled_from([0.0, 5.0]),
    "device": st.sampled_from(["auto", "cpu"]),
    "deterministic": st.booleans(),
    "micro_batch": st.none() | st.integers(1, 4),
    "data_root": st.none() | st.just("somewhere"),
    "tasks_dirs": st.just([]),
    "methods_dirs": st.just([]),
    "gpu_tflops": st.sampled_from([1.0, 30.0]),
}
"""Keys of an experiment that change no number, or only as other hardware does; seeds keep their keys."""
NUMERIC = {"tf32": True, "fast": False}
"""Keys of an experiment that change numbers, with another value than the default."""
GRID = ("protocol", "settings", "tasks", "models", "variants", "tuning")
"""Keys whose content is tested below, or consists of settings and arguments."""


def key(**changes: Any) -> str:
    """Return the key of the first run of an experiment with these changes."""
    with tempfile.TemporaryDirectory() as folder:
        return toy_plan(Path(folder), **changes).runs[0].key


def test_every_field_is_classified() -> None:
    assert set(SETTINGS) == set(Protocol.model_fields)
    assert sorted([*SILENT, *NUMERIC, *GRID]) == sorted(Experiment.model_fields)


@given(st.fixed_dictionaries({}, optional=SILENT))
@settings(max_examples=60, deadline=None)
def test_a_field_that_changes_no_number_changes_no_key(changes: dict[str, Any]) -> None:
    assert key(**changes) == key()


@pytest.mark.parametrize("name", NUMERIC)
def test_a_field_that_changes_numbers_changes_the_key(name: str) -> None:
    default = Experiment.model_fields[name].default
    assert key(**{name: default}) == key() != key(**{name: NUMERIC[name]})


@given(st.fixed_dictionaries(SETTINGS), st.fixed_dictionaries({}, optional=SETTINGS))
@settings(max_examples=60, deadline=None)
def test_settings_share_a_key_exactly_if_they_train_the_same(
    one: dict[str, Any], changes: dict[str, Any]
) -> None:
    other = {**one, **changes}

    def effective(values: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in values.items() if k != "epochs" or values["steps"] is None}

    assert (key(settings=one) == key(settings=other)) == (effective(one) == effective(other))


def test_the_names_of_task_and_model_are_in_the_key(tmp_path: Path) -> None:
    """The random streams are seeded from them."""
    (tmp_path / "again.yaml").write_text(yaml.safe_dump({"parent": "rotten_tomatoes", "title": "Again"}))
    plan = toy_plan(tmp_path, tasks=["rotten_tomatoes", "again"], tasks_dirs=[str(tmp_path)])
    assert len({run.key for run in plan.runs}) == 2


def test_the_same_method_and_arguments_under_another_name_share_a_key(tmp_path: Path) -> None:
    plan = toy_plan(tmp_path, variants={"freelb": {}, "mine": {"of": "freelb"}})
    assert len({run.key for run in plan.runs}) == 1


def digest(folder: Path, text: str) -> str:
    path = folder / "method.py"
    path.write_text(text)
    return keys.source_digest(path, {})


def test_the_source_hash_ignores_words_and_sees_meaning(tmp_path: Path) -> None:
    plain = digest(
        tmp_path, '"""Words."""\ndef f(x):\n    """More."""\n    return f"{x} # no comment" + "a"\n'
    )
    for same in ('def f(x):\n\n    # why\n    return f"{x} # no comment" + "a"\n',):
        assert digest(tmp_path, same) == plain
    for other in (
        'def f(x):\n    return f"{x} # no comment" + "b"\n',
        'def f(x):\n    return f"{x} ! no comment" + "a"\n',
        'def f(x):\n    if x:\n        return f"{x} # no comment" + "a"\n',
    ):
        assert digest(tmp_path, other) != plain


def test_only_the_declared_search_space_is_left_out_of_the_source_hash(tmp_path: Path) -> None:
    plain = "class A:\n    x = 1\n    research = 2\n"
    with_space = (
        "from harness.methods.search_space import (\n    Range,\n    space,\n)\n"
        "class A:\n    x = 1\n    search_space = space(\n        x=Range(0, 1),\n    )\n    research = 2\n"
    )
    annotated = "class A:\n    x = 1\n    search_space: ClassVar[Space] = space()\n    research = 2\n"
    assert digest(tmp_path, plain) == digest(tmp_path, with_space) == digest(tmp_path, annotated)
    assert digest(tmp_path, plain) != digest(tmp_path, plain.replace("research = 2", "research = 3"))
    local = (
        "class A:\n    def gradient(self, x):\n        search_space = {} * x\n        return search_space\n"
    )
    assert digest(tmp_path, local.format(0.1)) != digest(tmp_path, local.format(0.2))
    module = "search_space = {}\n"
    assert digest(tmp_path, module.format(1)) != digest(tmp_path, module.format(2))


def test_the_source_hash_follows_imports_and_the_shared_arithmetic() -> None:
    path, packages = method_source(method_class("mat"))
    files = keys._with_imports(path, {**packages, "harness": keys.HARNESS}, set())
    assert {file.name for file in files} == {
        "game.py", "langevin.py", "__init__.py", "adversary.py", "foreach.py",
    }  # fmt: skip


def test_a_change_of_the_shared_arithmetic_changes_the_keys_of_methods_that_use_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sources() -> dict[str, str]:
        names = ("vanilla", "freelb", "mat")
        return {name: keys.source_digest(*method_source(method_class(name))) for name in names}

    before, read = sources(), Path.read_text

    def doubled(path: Path, *args: Any, **options: Any) -> str:
        text = read(path, *args, **options)
        return text.replace("GRADIENT_FLOOR = 1e-8", "GRADIENT_FLOOR = 2e-8")

    monkeypatch.setattr(Path, "read_text", doubled)
    changed = {name for name, source in sources().items() if source != before[name]}
    assert changed == {"freelb", "mat"}
