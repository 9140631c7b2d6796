"""Significance marks: only those that a test supports, with ties, and none with too few seeds."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from support.experiments import toy_plan
from support.fake_runs import ROWS, plant

from harness.config.table import TableSpec, _variants_of_experiments, load_tables
from harness.methods.registry import method_class, method_source
from harness.plan.keys import source_digest
from harness.plan.outputs import applies, reference_of, rows_of
from harness.plan.plan import Plan
from harness.report.render import read_results
from harness.results import statistics_file
from harness.results.comparisons import write_comparisons
from harness.results.frame import build_frame, write_frame
from harness.results.statistics_file import (
    Statistics,
    StatisticsRow,
    statistics_path,
    write_statistics,
)
from harness.statistics.across import interquartile_mean
from harness.tables import writers
from harness.tables.build import make_table
from harness.tables.html import html
from harness.tables.significance import corrected
from harness.tables.table import Table

TASKS = ["rotten_tomatoes", "stsb"]
SEEDS = list(range(1, 11))
NOISE = np.random.default_rng(0).normal(0, 0.01, (4, len(SEEDS)))


def planted(folder: Path, means: dict[str, float], seeds: list[int] = SEEDS) -> Plan:
    """Return a plan whose variants score around their means, on one task."""
    plan = toy_plan(folder, variants=list(means), seeds=seeds)
    for run in plan.runs:
        noise = NOISE[list(means).index(run.cell.variant), run.seed - 1]
        plant(plan, run, means[run.cell.variant] + noise, curve=[(1, 0.5), (2, 0.6)])
    return plan


def table(plan: Plan, name: str, statistics: Statistics) -> Table:
    return make_table(name, load_tables()[name], plan.as_file(), build_frame(plan), statistics)


def test_the_best_and_its_ties_are_bold_and_what_beats_vanilla_has_a_dagger(tmp_path: Path) -> None:
    plan = planted(tmp_path, {"vanilla": 0.6, "freelb": 0.7, "smart": 0.701, "mat": 0.65})
    made = table(plan, "main", {})
    texts = {row[0]: row[1] for row in made.blocks[0].rows}
    assert {row for row, text in texts.items() if text.startswith("**")} == {"freelb", "smart"}
    assert {row for row, text in texts.items() if "†" in text} == {"freelb", "smart", "mat"}
    assert "\\textbf{70." in writers.latex(made) and "<td><b>70." in html(made)
    assert "**70." in writers.markdown(made) and "**" not in writers.csv_text(made)
    numbers = {line["variant"]: (line["best"], line["better"]) for line in made.numbers}
    assert numbers["mat"] == (0, "method") and numbers["smart"] == (1, "method")
    test = "paired sign-flip test over 10 seeds, Holm-corrected for"
    assert made.notes[1:3] == [
        f"Bold: the best of its column, and all that are not significantly worse ({test} 6 comparisons, "
        "p ≤ 0.05).",
        f"† significantly better than vanilla across training seeds ({test} 3 comparisons, p ≤ 0.05).",
    ]


def test_nothing_is_bold_where_nothing_can_be_told_apart(tmp_path: Path) -> None:
    made = table(planted(tmp_path, {"vanilla": 0.6, "freelb": 0.6}), "main", {})
    assert not any("**" in text or "†" in text for row in made.blocks[0].rows for text in row)
    assert made.notes[1].startswith("No difference across training seeds is significant (paired sign-flip")


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
    assert made.notes[1] == (
        "No significance marks: with 3 seeds no difference can reach p ≤ 0.05 after Holm correction for 1 "
        "comparison; at least 6 seeds are needed."
    )
    assert sum("significan" in note for note in made.notes) == 1
    assert table(plan, "claims", {}).blocks[0].rows[0][5] == "not testable (needs 6 seeds)"


def test_models_that_are_better_on_examples_alone_get_a_sign_of_their_own(tmp_path: Path) -> None:
    plan = planted(tmp_path, {"vanilla": 0.3, "freelb": 0.9, "mat": 0.2}, [1, 2, 3])
    statistics = {
        ("rotten_tomatoes", "tiny", row, "vanilla"): StatisticsRow(
            "rotten_tomatoes", "tiny", row, "vanilla", "accuracy", "validation", "key", 3, ROWS, sign * 0.1,
            sign * 0.1 - 0.05, sign * 0.1 + 0.05, 0.001,
        )
        for row, sign in (("freelb", 1), ("mat", -1))
    }  # fmt: skip
    made = table(plan, "main", statistics)
    assert ["‡" in row[1] for row in made.blocks[0].rows] == [False, True, False]
    assert ["⇓" in row[1] for row in made.blocks[0].rows] == [False, False, True]
    assert any(
        note.startswith("‡ these trained models are significantly better or ⇓ these trained models are "
        "significantly worse than those of vanilla") for note in made.notes
    )  # fmt: skip
    assert any("This says nothing about other seeds" in note for note in made.notes)
    line = table(plan, "claims", statistics).blocks[0].rows[0]
    assert line[:2] == ["freelb", "vanilla"] and line[3:5] == ["[+5.0, +15.0]", "0.002"]


def test_what_is_worse_than_the_reference_is_marked_as_what_is_better(tmp_path: Path) -> None:
    made = table(planted(tmp_path, {"vanilla": 0.6, "freelb": 0.7, "mat": 0.5}), "main", {})
    texts = {row[0]: row[1] for row in made.blocks[0].rows}
    assert "†" in texts["freelb"] and "↓" in texts["mat"] and "↓" not in texts["freelb"] + texts["vanilla"]
    assert any("† significantly better or ↓ significantly worse than vanilla" in note for note in made.notes)
    (mat,) = [line for line in made.numbers if line["variant"] == "mat"]
    assert (mat["better"], mat["worse"]) == ("", "method")
    assert "$\\downarrow$" in writers.latex(made)


def test_bold_only_among_cells_with_the_same_seeds(tmp_path: Path) -> None:
    for number, lucky in enumerate((0.3, 0.9)):
        folder = tmp_path / str(number)
        folder.mkdir()
        plan = planted(folder, {"vanilla": 0.6, "mat": 0.8, "pgd": lucky})
        for run in plan.runs:
            if run.cell.variant == "pgd" and run.seed > 1:
                shutil.rmtree(plan.run_folder(run))
        texts = {row[0]: row[1] for row in table(plan, "main", {}).blocks[0].rows}
        assert [row for row, text in texts.items() if text.startswith("**")] == ["mat"]
        assert not set(texts["pgd"]) & set("†↓*")
        line = next(row for row in table(plan, "claims", {}).blocks[0].rows if row[0] == "pgd")
        assert line[4:] == ["-", "not comparable (seeds)", "-"]


def test_runs_selected_on_the_report_split_are_in_no_test_of_any_table(tmp_path: Path) -> None:
    plan = toy_plan(tmp_path, tasks=TASKS, variants=["vanilla", "freelb", "mat"], seeds=SEEDS)
    for run in plan.runs:
        mean = {"vanilla": 0.6, "freelb": 0.7, "mat": 0.8}[run.cell.variant]
        rule = "best-on-report" if run.cell.variant == "mat" else "last"
        plant(plan, run, mean + NOISE[0, run.seed - 1], selection=rule)
    for name, column in (("claims", 5), ("across-tasks", 2)):
        rows = {row[0]: row for block in table(plan, name, {}).blocks for row in block.rows}
        assert rows["mat"][column] == "not comparable (selection)"
        assert "not comparable" not in rows["freelb"][column]
    assert " r (" in rows["mat"][1]


def test_a_diverged_run_counts_with_the_score_of_guessing(tmp_path: Path) -> None:
    plan = planted(tmp_path, {"vanilla": 0.6, "mat": 0.9})
    for run in plan.runs:
        if run.cell.variant == "mat" and run.seed <= 6:
            plant(plan, run, None, "diverged")
    made = table(plan, "main", {})
    text = made.blocks[0].rows[1][1]
    assert text.startswith("66.") and "d (10/10)" in text and "†" not in text
    assert any(note.startswith("Without diverged runs: ") and "(4/10)" in note for note in made.notes)
    assert any("counts with the score of guessing: " in note for note in made.notes)


def test_every_task_moves_the_mean_across_tasks_and_losing_runs_does_not_raise_it() -> None:
    draw = np.random.default_rng(0)
    means = {"cola": 60, "rte": 66, "stsb": 89, "mrpc": 88, "qqp": 91, "mnli": 84, "qnli": 91.5, "sst2": 93}
    scores = {task: draw.normal(mean, 0.3, 10) for task, mean in means.items()}
    before = interquartile_mean(list(scores.values()))
    for task in means:
        raised = {**scores, task: scores[task] + 8}
        assert interquartile_mean(list(raised.values())) == pytest.approx(before + 1)
    fewer = {**scores, "cola": scores["cola"][:3]}
    assert interquartile_mean(list(fewer.values())) == pytest.approx(before, abs=0.05)


def tuned_plan(folder: Path, means: dict[str, float]) -> Plan:
    """Return a plan with variants whose arguments come from tuned files, planted around their means."""
    variants: dict[str, object] = {}
    for name in means:
        base = name.removesuffix("-tuned")
        variants[name] = {} if base == name else {"of": base, "arguments": str(folder / f"{base}.yaml")}
    for base in {name.removesuffix("-tuned") for name in means if name.endswith("-tuned")}:
        content = {
            "schema_version": 1, "method": base, "variant": base, "tasks": ["rotten_tomatoes"],
            "model": "tiny", "arguments": {}, "settings": {"learning_rate": 1e-4}, "selection": {},
            "study": "0" * 64, "source": source_digest(*method_source(method_class(base))), "space": {},
            "budget": {"trials": 1}, "search": {}, "commit": None, "dirty": None,
        }  # fmt: skip
        (folder / f"{base}.yaml").write_text(yaml.safe_dump(content))
    plan = toy_plan(folder, variants=variants, seeds=SEEDS)
    for run in plan.runs:
        noise = NOISE[list(means).index(run.cell.variant) % 4, run.seed - 1]
        plant(plan, run, means[run.cell.variant] + noise)
    return plan


def test_tuned_is_compared_with_tuned(tmp_path: Path) -> None:
    """What tuning gains is no merit of the method."""
    means = {"vanilla": 0.6, "freelb": 0.65, "vanilla-tuned": 0.8, "freelb-tuned": 0.75}
    plan = tuned_plan(tmp_path, means)
    texts = {row[0]: row[1] for row in table(plan, "main", {}).blocks[0].rows}
    assert "†" in texts["freelb"] and "↓" in texts["freelb-tuned"] and "†" not in texts["vanilla-tuned"]
    rows = {row[0]: row for row in table(plan, "claims", {}).blocks[0].rows}
    assert rows["freelb-tuned"][1] == "vanilla-tuned" and rows["freelb-tuned"][2].startswith("-4.9")
    assert set(rows) == {"freelb", "freelb-tuned"}


def test_tuned_without_a_tuned_reference_is_not_compared(tmp_path: Path) -> None:
    plan = tuned_plan(tmp_path, {"vanilla": 0.6, "freelb-tuned": 0.75})
    texts = {row[0]: row[1] for row in table(plan, "main", {}).blocks[0].rows}
    assert "†" not in texts["freelb-tuned"]
    (row,) = table(plan, "claims", {}).blocks[0].rows
    assert row[5] == "not comparable (tuning)"


def test_a_table_may_name_the_variants_of_an_experiment(tmp_path: Path) -> None:
    means = {"vanilla": 0.6, "vanilla-tuned": 0.8, "freelb-tuned": 0.75}
    plan = tuned_plan(tmp_path, means).as_file()
    spec = TableSpec(title="Fair", kind="claims", blocks=["task", "model"],
                     references={"freelb-tuned": "vanilla-tuned", "mat-tuned": "vanilla-tuned"})  # fmt: skip
    assert applies(spec, plan) and rows_of(spec, plan) == ["vanilla", "vanilla-tuned", "freelb-tuned"]
    assert reference_of(spec, plan, "freelb-tuned") == "vanilla-tuned"
    assert "mat-tuned" in _variants_of_experiments()  # of config/quick-tuned.yaml


def test_scores_at_a_budget_are_not_tested_and_no_column_repeats_the_complete_run(tmp_path: Path) -> None:
    plan = planted(tmp_path, {"vanilla": 0.6, "freelb": 0.8})
    for run in plan.runs:
        score = 0.6 if run.cell.variant == "vanilla" else 0.8
        noise = NOISE[0, run.seed - 1]
        plant(plan, run, score, curve=[(1, score - 0.4 + noise), (2, score + noise)])
    made = table(plan, "equal-compute", {})
    assert [title.split(" §")[0] for title in made.head] == [
        "variant", "1 vanilla run", "complete run", "cost x vanilla",
    ]  # fmt: skip  # 3 and 10 vanilla runs pay for every complete run
    freelb = made.blocks[0].rows[1]
    assert not set(freelb[1]) & set("†↓*") and "†" in freelb[2]


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
    plan = toy_plan(tmp_path, tasks=["rotten_tomatoes", "stsb"], variants=["vanilla", "mat"], seeds=[1, 2])
    for run in plan.runs:
        if run.cell.name != "stsb/tiny/mat":
            plant(plan, run, 0.5)
    rows = table(plan, "across-tasks", {}).blocks[0].rows
    assert rows[0] == ["vanilla", "50.0 [50.0, 50.0] (4 of 4 runs)", "reference"]
    assert rows[1] == ["mat", "- m (2 of 4 runs)", "not comparable (seeds)"]


def test_statistics_are_made_once_and_again_only_where_predictions_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = toy_plan(tmp_path, tasks=["rotten_tomatoes", "stsb"], variants=["vanilla", "mat"], seeds=[1, 2])
    folders = [plant(plan, run, 0.5) for run in plan.runs]
    comparisons = write_comparisons(plan)
    write_statistics(plan.as_file(), plan.folder)
    first = pd.read_parquet(statistics_path(plan.folder))
    assert len(first) == 2 * 3 and set(first["examples"]) == {ROWS} and set(first["seeds"]) == {2}
    computed = []
    monkeypatch.setattr(
        statistics_file, "swap_p", lambda group, pairs: computed.append(group.name) or np.ones(len(pairs))
    )
    before = comparisons.stat().st_mtime_ns
    write_comparisons(plan)
    write_statistics(plan.as_file(), plan.folder)
    assert comparisons.stat().st_mtime_ns == before and not computed
    assert pd.read_parquet(statistics_path(plan.folder)).equals(first)
    changed = pd.read_parquet(folders[-1].predictions_path).assign(logit_0=range(ROWS))
    changed.to_parquet(folders[-1].predictions_path)
    result = folders[-1].result()
    assert result is not None
    folders[-1].write_result(result.model_copy(update={"seed": 2, "hashes": {"weights": "f" * 64}}))
    write_comparisons(plan)
    write_statistics(plan.as_file(), plan.folder)
    assert computed == ["stsb/tiny"]


def test_statistics_speak_of_the_scores_of_the_frame_and_of_paired_seeds(tmp_path: Path) -> None:
    plan = toy_plan(tmp_path, variants=["vanilla", "mat", "freelb"], seeds=[3, 1, 2])
    for run in plan.runs:
        if run.cell.variant != "freelb" and (run.cell.variant, run.seed) != ("mat", 1):
            plant(plan, run, 0.5)
    write_comparisons(plan)
    write_statistics(plan.as_file(), plan.folder)
    write_frame(plan)
    _, statistics = read_results(plan.folder)
    scores = {}
    for (variant, seed), rows in pd.read_parquet(plan.folder / "comparisons.parquet").groupby(
        ["variant", "seed"], observed=True
    ):
        scores[variant, seed] = (rows["label"] == rows["prediction"]).mean()
    pair = statistics["rotten_tomatoes", "tiny", "mat", "vanilla"]
    assert pair.seeds == 2
    assert pair.estimate == pytest.approx(
        np.mean([scores["mat", seed] - scores["vanilla", seed] for seed in (2, 3)])
    )
    alone = statistics["rotten_tomatoes", "tiny", "vanilla", ""]
    assert alone.estimate == pytest.approx(np.mean([scores["vanilla", seed] for seed in (1, 2, 3)]))
    assert alone.low <= alone.estimate <= alone.high
    assert not any("freelb" in key for key in statistics)
