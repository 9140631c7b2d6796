"""What stands out in a table: only what a test says, ties together, and no more than the seeds allow."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import toyplan
from planted import ROWS, frame_from_folders, plant

from harness.plan.plan import Plan
from harness.plan.tables import load_tables
from harness.report import forms
from harness.report.claims import Statistics, corrected
from harness.report.comparisons import write_comparisons
from harness.report.html import page
from harness.report.render import read
from harness.report.statistics import results
from harness.report.statistics.results import statistics_path, write_statistics
from harness.report.table import Table
from harness.report.tables import make_table, rows_of_frame

TASKS = ["rotten_tomatoes", "stsb"]
SEEDS = list(range(1, 11))
NOISE = np.random.default_rng(0).normal(0, 0.01, (4, len(SEEDS)))


def planted(folder: Path, means: dict[str, float], seeds: list[int] = SEEDS) -> Plan:
    """Return a plan whose variants score around their means, on one task."""
    plan = toyplan.plan(folder, variants=list(means), seeds=seeds)
    for run in plan.runs:
        noise = NOISE[list(means).index(run.cell.variant), run.seed - 1]
        plant(plan, run, means[run.cell.variant] + noise, curve=[(1, 0.5), (2, 0.6)])
    return plan


def table(plan: Plan, name: str, statistics: Statistics) -> Table:
    runs = rows_of_frame(frame_from_folders(plan))
    return make_table(name, load_tables()[name], plan.as_json(), runs, statistics)


def test_the_best_and_its_ties_are_bold_and_what_beats_vanilla_has_a_dagger(tmp_path: Path) -> None:
    plan = planted(tmp_path, {"vanilla": 0.6, "freelb": 0.7, "smart": 0.701, "mat": 0.65})
    made = table(plan, "main", {})
    texts = {row[0]: row[1] for row in made.blocks[0].rows}
    assert {row for row, text in texts.items() if text.startswith("**")} == {"freelb", "smart"}
    assert {row for row, text in texts.items() if "†" in text} == {"freelb", "smart", "mat"}
    assert "\\textbf{70." in forms.latex(made) and "<td><b>70." in page(made)
    assert "**70." in forms.markdown(made) and "**" not in forms.comma_separated(made)
    numbers = {line["variant"]: (line["best"], line["better"]) for line in made.numbers}
    assert numbers["mat"] == (0, "method") and numbers["smart"] == (1, "method")
    assert "signs flipped over 10 paired seeds, Holm-corrected p ≤ 0.05 in 6 comparisons" in made.notes[1]


def test_nothing_is_bold_where_nothing_can_be_told_apart(tmp_path: Path) -> None:
    made = table(planted(tmp_path, {"vanilla": 0.6, "freelb": 0.6}), "main", {})
    assert not any("**" in text or "†" in text for row in made.blocks[0].rows for text in row)


def test_what_was_chosen_on_the_reported_rows_competes_with_its_like_alone(tmp_path: Path) -> None:
    plan = planted(tmp_path, {"vanilla": 0.6, "freelb": 0.7, "mat": 0.8})
    for run in plan.runs:
        if run.cell.variant == "mat":
            plant(plan, run, 0.8 + NOISE[2, run.seed - 1], selection="best-on-report")
    texts = {row[0]: row[1] for row in table(plan, "main", {}).blocks[0].rows}
    assert texts["freelb"].startswith("**") and "†" in texts["freelb"]
    assert not texts["mat"].startswith("**") and "†" not in texts["mat"]


def test_three_seeds_are_not_tested_and_the_note_says_how_many_would_do(tmp_path: Path) -> None:
    plan = planted(tmp_path, {"vanilla": 0.3, "freelb": 0.9}, [1, 2, 3])
    made = table(plan, "main", {})
    assert not any("**" in text or "†" in text for row in made.blocks[0].rows for text in row)
    assert "n.t.: 3 paired seeds cannot reach p ≤ 0.05 in 1 comparisons, 6 can" in made.notes[1]
    assert table(plan, "claims", {}).blocks[0].rows[0][5] == "n.t. (needs 6 seeds)"


def test_models_that_are_better_on_examples_alone_get_a_sign_of_their_own(tmp_path: Path) -> None:
    plan = planted(tmp_path, {"vanilla": 0.3, "freelb": 0.9, "mat": 0.2}, [1, 2, 3])
    statistics = {
        ("rotten_tomatoes", "tiny", row, "vanilla"): {
            "p_models": 0.001, "estimate": sign * 0.1, "low": sign * 0.1 - 0.05, "high": sign * 0.1 + 0.05,
        }
        for row, sign in (("freelb", 1), ("mat", -1))
    }  # fmt: skip
    made = table(plan, "main", statistics)
    assert ["‡" in row[1] for row in made.blocks[0].rows] == [False, True, False]
    assert any("it says nothing of other seeds" in note for note in made.notes)
    line = table(plan, "claims", statistics).blocks[0].rows[0]
    assert line[:2] == ["freelb", "vanilla"] and line[3:5] == ["[+5.0, +15.0]", "0.002"]


def test_at_most_5_percent_of_tables_of_equal_methods_mark_anything() -> None:
    draw = np.random.default_rng(1)
    pairs = [(a, b) for a in range(4) for b in range(a)]
    wrong = 0
    for _ in range(600):
        scores = draw.normal(size=(2, 4, 10))
        found = corrected([scores[task, a] - scores[task, b] for task in range(2) for a, b in pairs])
        wrong += bool((found <= 0.05).any())
    assert wrong / 600 <= 0.06


def test_the_table_across_tasks_gives_values_intervals_and_what_lacks_a_task(tmp_path: Path) -> None:
    plan = toyplan.plan(
        tmp_path, tasks=["rotten_tomatoes", "stsb"], variants=["vanilla", "mat"], seeds=[1, 2]
    )
    for run in plan.runs:
        if run.cell.name != "stsb/tiny/mat":
            plant(plan, run, 0.5)
    rows = table(plan, "across-tasks", {}).blocks[0].rows
    assert rows[0] == ["vanilla", "50.0 [50.0, 50.0] (4 runs)", "reference"]
    assert rows[1] == ["mat", "- (0 runs)", "-"]


def test_statistics_are_made_once_and_again_only_where_predictions_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = toyplan.plan(
        tmp_path, tasks=["rotten_tomatoes", "stsb"], variants=["vanilla", "mat"], seeds=[1, 2]
    )
    folders = [plant(plan, run, 0.5) for run in plan.runs]
    comparisons = write_comparisons(plan)
    write_statistics(plan.as_json(), plan.folder)
    first = pd.read_parquet(statistics_path(plan.folder))
    assert len(first) == 2 * 3 and set(first["examples"]) == {ROWS} and set(first["seeds"]) == {2}
    computed = []
    monkeypatch.setattr(
        results, "swap_p", lambda group, pairs: computed.append(group.name) or np.ones(len(pairs))
    )
    before = comparisons.stat().st_mtime_ns
    write_comparisons(plan)
    write_statistics(plan.as_json(), plan.folder)
    assert comparisons.stat().st_mtime_ns == before and not computed
    assert pd.read_parquet(statistics_path(plan.folder)).equals(first)
    changed = pd.read_parquet(folders[-1].predictions_path).assign(logit_0=range(ROWS))
    changed.to_parquet(folders[-1].predictions_path)
    result = folders[-1].result()
    assert result is not None
    folders[-1].write_result(result.model_copy(update={"seed": 2, "hashes": {"weights": "f" * 64}}))
    write_comparisons(plan)
    write_statistics(plan.as_json(), plan.folder)
    assert computed == ["stsb/tiny"]


def test_statistics_speak_of_the_scores_of_the_frame_and_of_paired_seeds(tmp_path: Path) -> None:
    plan = toyplan.plan(tmp_path, variants=["vanilla", "mat", "freelb"], seeds=[3, 1, 2])
    for run in plan.runs:
        if run.cell.variant != "freelb" and (run.cell.variant, run.seed) != ("mat", 1):
            plant(plan, run, 0.5)
    write_comparisons(plan)
    write_statistics(plan.as_json(), plan.folder)
    frame_from_folders(plan).to_parquet(plan.folder / "frame.parquet")
    _, statistics = read(plan.folder)
    scores = {}
    for (variant, seed), rows in pd.read_parquet(plan.folder / "comparisons.parquet").groupby(
        ["variant", "seed"], observed=True
    ):
        scores[variant, seed] = (rows["label"] == rows["prediction"]).mean()
    pair = statistics["rotten_tomatoes", "tiny", "mat", "vanilla"]
    assert pair["seeds"] == 2
    assert pair["estimate"] == pytest.approx(
        np.mean([scores["mat", seed] - scores["vanilla", seed] for seed in (2, 3)])
    )
    alone = statistics["rotten_tomatoes", "tiny", "vanilla", ""]
    assert alone["estimate"] == pytest.approx(np.mean([scores["vanilla", seed] for seed in (1, 2, 3)]))
    assert alone["low"] <= alone["estimate"] <= alone["high"]
    assert not any("freelb" in key for key in statistics)
