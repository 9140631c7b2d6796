"""Search spaces, budgets and tuned files, and their errors before any trial."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import searches

from harness.config.experiment import Experiment
from harness.config.tuning import SETTINGS
from harness.methods.registry import method_class, method_names
from harness.methods.search_space import Choice, Range, narrowed, space
from harness.plan.resolve import resolve
from harness.plan.study import Study
from harness.runs.history import superseded
from harness.util.errors import ConfigErrors, HarnessError


def errors_of(folder: Path, **changes: Any) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        searches.plan(folder, **changes)
    return caught.value.errors


def test_mat_searches_what_its_authors_did_but_the_seed() -> None:
    searched = method_class("mat").search_space
    assert {
        "steps_delta", "steps_theta", "step_size", "start", "start_size", "radius", "noise_ratio", "weight",
        "beta_s", "beta_p",
    } == set(searched)  # fmt: skip
    assert all(searched[name].log for name in ("step_size", "radius", "weight", "noise_ratio", "start_size"))
    assert SETTINGS["learning_rate"].log  # the step of theta, searched for every method alike


@pytest.mark.parametrize("name", method_names())
def test_no_method_searches_the_seed_or_a_setting(name: str) -> None:
    assert not {"seed", "seeds", *SETTINGS} & method_class(name).search_space.keys()


def test_a_dimension_can_be_narrowed_and_never_left() -> None:
    whole = Range(1e-3, 1.0, log=True)
    assert narrowed(whole, {"high": 0.1}) == Range(1e-3, 0.1, log=True)
    assert narrowed(whole, [0.1, 0.2]) == Choice((0.1, 0.2))
    assert narrowed(Choice((True, False)), [True]) == Choice((True,))
    for requested in ({"low": 1e-4}, [2.0], {"high": 1.5}):
        with pytest.raises(ValueError, match=r"values inside the declared 0.001 to 1, log, got"):
            narrowed(whole, requested)
    with pytest.raises(ValueError, match=r"inside the declared \[True, False\], got 1"):
        narrowed(Choice((True, False)), [1])


@pytest.mark.parametrize(
    ("requested", "message"),
    [
        ({"low": 0.5, "high": 0.1}, "low below high, got 0.5 and 0.1"),
        ({"low": 0.1, "high": 0.1}, "low below high"),
        ([], "at least one value"),
        ([0.1, 0.1], "each value once, repeated: 0.1"),
        ({"lo": 0.1}, "the keys low, high and log, got lo"),
        ({"low": "a"}, "numbers, got low: 'a'"),
        ({"log": 1}, "true or false for log, got 1"),
        (0.1, "a list of values, or {low: ..., high: ...}, got 0.1"),
    ],
)
def test_a_dimension_that_is_none_is_reported_with_its_key(
    tmp_path: Path, requested: Any, message: str
) -> None:
    found = errors_of(tmp_path, tuning={"trials": 2, "space": {"freelb": {"step_size": requested}}})
    assert len(found) == 1
    assert "toy.yaml: tuning.space.freelb.step_size: expected" in found[0] and message in found[0]


def test_all_errors_of_a_search_are_reported_at_once(tmp_path: Path) -> None:
    spaces = {
        "freelb": {"step_sise": [0.1], "steps": [2], "radius": {"low": 2, "high": 1}},
        "vanila": {},
    }
    found = errors_of(tmp_path, tuning={"trials": 2, "space": spaces})
    assert any("unknown tuned variant 'vanila'; did you mean 'vanilla'?" in m for m in found)
    del spaces["vanila"]
    found = errors_of(tmp_path, tuning={"trials": 2, "space": spaces})
    assert len(found) == 3
    assert any(
        "freelb.step_sise: unknown searched argument 'step_sise'; did you mean 'step_s" in m for m in found
    )
    assert any("freelb.steps: the variant sets it to 2" in m for m in found)
    assert any("freelb.radius: expected low below high, got 2 and 1" in m for m in found)


def test_an_empty_space_is_a_mistake(tmp_path: Path) -> None:
    found = errors_of(tmp_path, tuning={"trials": 2, "settings": []})
    assert len(found) == 1
    assert "tuning.space.vanilla: expected at least one value to search, got an empty space" in found[0]
    assert "vanilla declares nothing" in found[0]
    fixed = errors_of(tmp_path, tuning={"trials": 2, "settings": {"learning_rate": [5e-4]}})
    assert "an empty space" in fixed[0]


def test_the_defaults_must_lie_inside_since_they_are_the_first_trial(tmp_path: Path) -> None:
    found = errors_of(tmp_path, tuning={"trials": 2, "settings": {"learning_rate": {"high": 1e-4}}})
    assert "vanilla has the default learning_rate 0.0005, outside of the search space" in found[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tuning": {}}, "tuning: expected exactly one budget: trials, forward_equivalents, seconds"),
        ({"tuning": {"trials": 3, "forward_equivalents": 1e5}}, "exactly one budget"),
        ({"tuning": {"trials": 0}}, "tuning.trials: expected greater than or equal to 1"),
        ({"tuning": {"trials": 2, "workers": 0}}, "tuning.workers"),
        ({"tuning": {"trials": 2, "prunner": "none"}}, "did you mean 'pruner'"),
        ({"tuning": {"trials": 2, "pruner": "medium"}}, "'median', 'hyperband' or 'none'"),
        ({"tuning": {"trials": 2, "settings": ["learning_rat"]}}, "did you mean 'learning_rate'"),
        ({"tuning": {"trials": 2, "storage": "journal.log"}}, "a URL such as postgresql://host/name"),
        ({"tuning": {"trials": 2, "storage": "postgresql://me:secret@host/db"}}, "a URL without a password"),
        ({"tuning": None}, "tuning: missing; expected a budget, since vanilla-tuned has arguments: tuned"),
        ({"variants": ["vanilla"]}, "tuning: expected a variant with arguments: tuned, got none"),
        ({"settings": {**searches.SETTINGS, "selection_rows": 0}}, "selection_rows of 1 or more"),
        ({"settings": {**searches.SETTINGS, "selection": "best-on-report"}}, "never reads reported rows"),
        ({"variants": {"vanilla": {"arguments": 3}}}, "a mapping, default, tuned, or a tuned file, got 3"),
        ({"variants": {"mine": {"of": "vanila", "arguments": "tuned"}}}, "did you mean 'vanilla'"),
        (
            {"variants": {name: {"of": "mat", "arguments": "tuned"} for name in "ab"}},
            "variants.b: expected one tuned variant of mat, but a is another",
        ),
        (
            {"variants": {"a": {"of": "mat", "arguments": "tuned"}, "b": {"of": "a"}}},
            "variants.b.of: expected a variant that states its arguments, got a",
        ),
    ],
)  # fmt: skip
def test_a_wrong_experiment_is_reported_before_anything_starts(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    found = errors_of(tmp_path, **changes)
    assert any(message in m for m in found), found
    assert all("toy.yaml" in m for m in found)
    assert not any("secret" in m for m in found)
    assert not (tmp_path / "results").exists()


def test_a_changed_space_or_budget_is_a_new_study_and_more_trials_are_not(tmp_path: Path) -> None:
    def of(**tuning: Any) -> Study:
        return searches.study(searches.plan(tmp_path, tuning=tuning))

    first = of(trials=4)
    assert of(trials=9).hash == of(trials=4, workers=3, storage="sqlite:///x.db").hash == first.hash
    others = [
        of(forward_equivalents=1e5), of(forward_equivalents=2e5), of(seconds=100),
        of(trials=4, pruner="none"), of(trials=4, seeds=2),
        of(trials=4, space={"freelb": {"step_size": {"low": 0.01}}}),
        of(trials=4, settings=["learning_rate", "warmup"]),
    ]  # fmt: skip
    assert len({first.hash, *(study.hash for study in others)}) == len(others) + 1


def test_a_study_knows_nothing_of_the_reported_rows(tmp_path: Path) -> None:
    plain, other = searches.plan(tmp_path / "a"), searches.plan(tmp_path / "b", shuffled=True)
    assert [s.hash for s in plain.studies()] == [s.hash for s in other.studies()]
    found = [{run.key for run in made.runs if not run.cell.awaits_tuning} for made in (plain, other)]
    assert len(found[0]) == 4 and not found[0] & found[1]


def test_what_a_variant_sets_is_not_searched(tmp_path: Path) -> None:
    made = searches.plan(
        tmp_path, variants={"mat-strong": None, "t": {"of": "mat-strong", "arguments": "tuned"}}
    )
    (study,) = made.studies()
    assert set(study.space) == {
        "learning_rate", "steps_delta", "steps_theta", "start", "weight", "beta_s", "beta_p",
    }  # fmt: skip
    assert study.defaults()["steps_theta"] == 10


def test_one_search_for_several_tasks_has_one_file(tmp_path: Path) -> None:
    tasks = {"words": {}, "rotten_tomatoes": {}}
    made = searches.plan(tmp_path, tasks=tasks, tuning={"trials": 2, "studies": "model"})
    assert [str(study.file) for study in made.studies()] == ["all/tiny/vanilla.yaml", "all/tiny/freelb.yaml"]
    assert [cell.task_name for cell in made.studies()[0].cells] == ["words", "rotten_tomatoes"]
    tasks["words"] = {"learning_rate": 1e-4}
    found = errors_of(tmp_path, tasks=tasks, tuning={"trials": 2, "studies": "model"})
    assert "expected the same learning_rate of vanilla on all tasks" in found[0]


def test_runs_wait_for_the_search_and_then_have_the_key_of_their_values(tmp_path: Path) -> None:
    made = searches.plan(tmp_path)
    waiting = [cell.variant for cell in made.cells if cell.awaits_tuning]
    assert waiting == ["vanilla-tuned", "freelb-tuned"]
    assert len(made.runs) == 8 and len({run.key for run in made.runs}) == 8
    tuned_file(
        made, searches.study(made), {"learning_rate": 1e-4, "step_size": 0.01, "start": 0.5, "radius": 0.25}
    )
    again = searches.plan(tmp_path)
    (cell,) = [cell for cell in again.cells if cell.variant == "freelb-tuned"]
    assert not cell.awaits_tuning and cell.protocol.learning_rate == 1e-4
    assert cell.method.arguments.model_dump(include={"steps", "step_size", "start", "radius"}) == {
        "steps": 2, "step_size": 0.01, "start": 0.5, "radius": 0.25,
    }  # fmt: skip
    by_hand = {
        "vanilla": None,
        "freelb": {
            "arguments": {"steps": 2, "step_size": 0.01, "start": 0.5, "radius": 0.25},
            "settings": {"learning_rate": 1e-4},
        },
    }
    explicit = searches.plan(tmp_path, variants=by_hand, tuning=None)
    assert [c.identity for c in explicit.cells if c.variant == "freelb"] == [cell.identity]
    more = searches.plan(tmp_path, tuning={"trials": 5})
    assert [c.variant for c in more.cells if c.awaits_tuning] == ["vanilla-tuned", "freelb-tuned"]


def test_finished_runs_are_not_superseded_while_their_search_waits(tmp_path: Path) -> None:
    """It may end with the same values again."""
    made = searches.plan(tmp_path)
    values = {"learning_rate": 1e-4, "step_size": 0.01, "start": 0.5, "radius": 0.25}
    tuned_file(made, searches.study(made), values)
    tuned = [run for run in searches.plan(tmp_path).runs if run.cell.variant == "freelb-tuned"]
    plain = made.run_folder(tuned[0]).parents[1] / "freelb" / "seed9-00000000"
    for folder in (made.run_folder(tuned[0]), plain):
        folder.mkdir(parents=True)
    more = searches.plan(tmp_path, tuning={"trials": 5})
    assert list(superseded(more)) == [plain]


def tuned_file(made: Any, study: Study, values: dict[str, Any], **changes: Any) -> Path:
    """Write the tuned file of a study by hand."""
    path = made.tuned_file(study)
    content = {
        "schema_version": 1, "method": study.cells[0].method.name, "variant": study.variant,
        "tasks": ["words"], "model": "tiny",
        "arguments": {k: v for k, v in values.items() if k not in SETTINGS},
        "settings": {k: v for k, v in values.items() if k in SETTINGS}, "selection": {}, "study": study.hash,
        "source": study.source, "space": {}, "budget": study.tuning.budget, "search": {}, "commit": None,
        "dirty": None, **changes,
    }  # fmt: skip
    searches.write(path, yaml.safe_dump(content))
    return path


VALUES = {"learning_rate": 1e-4, "step_size": 0.01, "start": 0.5, "radius": 0.25}


def test_a_tuned_file_of_its_study_with_other_arguments_is_an_error(tmp_path: Path) -> None:
    made = searches.plan(tmp_path)
    tuned_file(made, searches.study(made), {**VALUES, "radius": 7.0})
    with pytest.raises(HarnessError, match=r"freelb.yaml: outside of the space of its study: radius; delete"):
        searches.plan(tmp_path)
    tuned_file(made, searches.study(made), {"learning_rate": 1e-4, "step_size": 0.01})
    with pytest.raises(HarnessError, match=r"outside of the space of its study: start, radius"):
        searches.plan(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "mat"}, "expected values of method freelb, got those of mat"),
        ({"source": "0" * 64}, r"another version of method freelb \(source 00000000, now "),
        ({"arguments": {"beta_s": 0.1}}, r"unknown key 'beta_s'; valid: .*step_size"),
        ({"arguments": {"step_size": -1.0}}, r"step_size: expected greater than 0, got -1.0"),
        ({"settings": {"learning_rate": "fast"}}, r"learning_rate: expected a valid number, got 'fast'"),
        ({"studdy": 1}, "did you mean 'study'"),
        ({"schema_version": 2}, "schema_version: expected less than or equal to 1"),
    ],
)
def test_a_tuned_file_that_does_not_fit_is_a_plain_error(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    made = searches.plan(tmp_path)
    path = tuned_file(made, searches.study(made), VALUES, **changes)
    variants = {"theirs": {"of": "freelb", "arguments": str(path)}}
    with pytest.raises(HarnessError, match=message) as caught:
        searches.plan(tmp_path, variants=variants, tuning=None)
    assert "freelb.yaml" in str(caught.value)


def test_a_tuned_file_can_be_used_elsewhere_and_must_be_there(tmp_path: Path) -> None:
    made = searches.plan(tmp_path)
    path = tuned_file(made, searches.study(made), VALUES)
    other = path.with_name("words-tiny.yaml")
    path.rename(other)
    name = str(other).replace("words-tiny", "{task}-{model}")
    made = searches.plan(tmp_path, variants={"theirs": {"of": "freelb", "arguments": name}}, tuning=None)
    assert made.cells[0].protocol.learning_rate == 1e-4 and made.cells[0].method.arguments.start == 0.5
    with pytest.raises(HarnessError, match="no such file"):
        searches.plan(tmp_path, variants={"theirs": {"of": "freelb", "arguments": "no.yaml"}}, tuning=None)
    with pytest.raises(HarnessError, match=r"only \{task\} and \{model\} are allowed in braces"):
        searches.plan(tmp_path, variants={"theirs": {"of": "freelb", "arguments": "{x}.yaml"}}, tuning=None)


def test_every_method_can_be_searched_from_its_defaults() -> None:
    for name in (
        "vanilla",
        "pgd",
        "freeat",
        "freelb",
        "smart",
        "smart-mtdnn",
        "r3f",
        "creat",
        "r-drop",
        "mat",
    ):
        content = {
            "name": "t", "title": "T", "tasks": ["rotten_tomatoes"], "models": ["tiny"],
            "variants": {"x": {"of": name, "arguments": "tuned"}}, "seeds": [1], "tuning": {"trials": 2},
        }  # fmt: skip
        ((cell,), studies) = resolve(Experiment.model_validate(content), "test", Path("nowhere"))
        assert cell.study is not None and cell.awaits_tuning
        study = studies[cell.study]
        for end in ("low", "high"):
            values = {
                n: getattr(d, end) if isinstance(d, Range) else d.values[-1] for n, d in study.space.items()
            }
            whole = {n: int(v) if isinstance(study.defaults()[n], int) else v for n, v in values.items()}
            assert study.cells_with(whole, "test")


def test_spaces_cannot_be_changed_by_accident() -> None:
    found = space(x=Range(0, 1))
    with pytest.raises(TypeError):
        found["y"] = Range(0, 1)  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        found["x"].low = 3  # type: ignore[misc]


@pytest.mark.parametrize("requested", [{"low": 1.5, "high": 3}, [2.0, 3]])
def test_whole_numbers_stay_whole(tmp_path: Path, requested: Any) -> None:
    variants = {"f": {"of": "freelb", "arguments": "tuned"}}
    found = errors_of(
        tmp_path, variants=variants, tuning={"trials": 2, "space": {"freelb": {"steps": requested}}}
    )
    assert any("tuning: steps: expected a valid integer" in m or "tuning.steps" in m for m in found), found
