"""``compare`` makes an experiment from a few names and runs it; notebooks read what it made."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import main
from harness.config.experiment import load_experiment
from harness.methods.template import new_method
from harness.plan.comparison import ComparisonRequest, comparison, write_comparison
from harness.plan.plan import make_plan
from harness.util.errors import ConfigErrors, HarnessError
from harness.util.paths import CONFIG

QUICK = load_experiment(CONFIG / "quick.yaml")


def request(**changes: object) -> ComparisonRequest:
    return ComparisonRequest(
        **{"variants": ["vanilla", "mat"], "tasks": ["stsb"], "models": ["minilm"], "seeds": 2, **changes}
    )


def test_it_is_the_grid_that_is_asked_for_under_the_honest_protocol() -> None:
    made = comparison(request(models=["minilm", "tiny"]))
    assert (list(made.variants), list(made.models), made.seeds) == (
        ["vanilla", "mat"],
        ["minilm", "tiny"],
        [1, 2],
    )
    assert made.protocol == "honest" and made.settings == {} and made.title == "vanilla, mat on stsb"


def test_another_experiment_lends_settings_and_the_arguments_of_these_variants() -> None:
    made = comparison(request(pairs=["learning_rate=1e-3", "mat.radius=0.5", "device=cpu"]), QUICK)
    assert made.settings == {**QUICK.settings, "learning_rate": 1e-3}
    assert made.variants["mat"].arguments == {"steps_delta": 2, "steps_theta": 2, "radius": 0.5}
    assert "freelb" not in made.variants and made.banner is None and made.device == "cpu"


def test_searches_are_lent_with_the_variants_that_ask_for_them() -> None:
    like = load_experiment(CONFIG / "quick-tuned.yaml")
    assert comparison(request(), like).tuning is None
    both = comparison(request(variants=["vanilla", "vanilla-tuned"]), like)
    assert both.tuning is not None and both.tuning.trials == like.tuning.trials and not both.tuning.space
    with pytest.raises(ConfigErrors, match="mat-tuned inherits the arguments of mat; name both"):
        comparison(request(variants=["mat-tuned"]), like)
    with pytest.raises(ConfigErrors, match="mat-tuned has arguments: tuned; single arguments cannot be set"):
        comparison(request(variants=["mat", "mat-tuned"], pairs=["mat-tuned.radius=1"]), like)


def test_what_is_set_wins_over_what_is_lent_for_a_task() -> None:
    like = QUICK.model_copy(update={"tasks": {"stsb": {"epochs": 7}}})
    assert comparison(request(), like).tasks["stsb"] == {"epochs": 7}
    assert comparison(request(pairs=["epochs=1"]), like).tasks["stsb"] == {}


def test_the_name_tells_everything_but_the_seeds() -> None:
    first = comparison(request())
    assert first.name.startswith("compare-vanilla-mat-on-stsb-")
    assert comparison(request(seeds=5)).name == first.name
    others = [
        request(tasks=["rte"]),
        request(models=["tiny"]),
        request(pairs=["epochs=1"]),
        request(variants=["mat"]),
    ]
    assert len({first.name, *(comparison(other).name for other in others)}) == 5


@pytest.mark.parametrize(
    ("changes", "output"),
    [
        ({"variants": ["vanila"]}, "variants.vanila: unknown variant 'vanila'; did you mean 'vanilla'"),
        ({"tasks": ["stbs"]}, "tasks: unknown task 'stbs'; did you mean 'stsb'"),
        ({"pairs": ["epoch=1"]}, "--set epoch=1: unknown key 'epoch'; did you mean 'epochs'"),
        ({"pairs": ["epochs"]}, "--set epochs: expected KEY=VALUE"),
        ({"pairs": ["nat.radius=1"]}, "--set nat.radius=1: unknown variant 'nat'; did you mean 'mat'"),
        (
            {"pairs": ["mat.radios=1"]},
            "variants.mat.arguments.radios: unknown key 'radios'; did you mean 'radius'",
        ),
        ({"seeds": 0}, "--seeds 0: expected 1 or more"),
    ],
)
def test_errors_are_reported(changes: dict[str, object], output: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        comparison(request(**changes))
    assert output in str(caught.value)


def test_more_seeds_go_on_and_another_experiment_is_not_overwritten(tmp_path: Path) -> None:
    path = write_comparison(comparison(request()), tmp_path)
    assert write_comparison(comparison(request(seeds=3)), tmp_path) == path
    assert load_experiment(path).seeds == [1, 2, 3]
    path.write_text(path.read_text().replace("stsb", "rte"))
    with pytest.raises(HarnessError, match="contains another experiment; move it away"):
        write_comparison(comparison(request()), tmp_path)
    assert "rte" in path.read_text()


def test_the_written_file_is_the_experiment(tmp_path: Path) -> None:
    made = comparison(request(pairs=["mat.radius=0.5"]), QUICK)
    plan = make_plan(write_comparison(made, tmp_path), tmp_path)
    assert plan.experiment == made and len(plan.runs) == 4


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder elsewhere in which a new method was compared with vanilla, and what was printed."""
    folder = tmp_path_factory.mktemp("work")
    new_method("mine", folder / "methods", ())
    command = [
        "compare", "--methods", "mine,vanilla", "--methods-dir", "methods", "--tasks", "rotten_tomatoes",
        "--models", "tiny", "--seeds", "1", "--like", "smoke",
        "--set", "train_rows=16", "--set", "mine.size=0.5",
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "harness", *command], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


def test_it_runs_and_prints_scores_tests_and_cost(compared: tuple[Path, str]) -> None:
    folder, output = compared
    assert "2 runs, 2 to do" in output
    assert "mine, vanilla on rotten_tomatoes: Scores" in output and "on rotten_tomatoes: Cost" in output
    assert "on rotten_tomatoes: Claims" in output
    assert output.count("| mine ") == 3 and "2 of 2 runs" in output
    assert len(list(folder.glob("results/compare-*/runs/*/*/*/*/result.json"))) == 2


NOTEBOOK = """
import json, sys
from harness import load_experiment, load_results, run
assert "pandas" in sys.modules
plan = load_experiment(sys.argv[1])
frame = load_results(plan)
again = run(plan)
assert again.equals(frame)
print(json.dumps(frame[["variant", "status", "score"]].to_dict("records")))
"""


def test_a_notebook_reads_and_runs_it(compared: tuple[Path, str]) -> None:
    folder, _ = compared
    file = next(folder.glob("results/compare-*/experiment.yaml"))
    done = subprocess.run(
        [sys.executable, "-c", NOTEBOOK, str(file)], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [row["variant"] for row in rows] == ["mine", "vanilla"]
    assert all(row["status"] in ("ok", "collapsed") and 0 <= row["score"] <= 1 for row in rows)


def test_a_dry_run_trains_nothing_and_tells_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["compare", "--methods", "vanilla,mat", "--tasks", "stsb", "--dry-run"]) == 0
    output = capsys.readouterr().out
    assert "6 runs, 6 to do" in output and "to run it: snakemake --snakefile" in output
    assert [path.name for path in tmp_path.rglob("*.*") if path.is_file()] == ["experiment.yaml"]
