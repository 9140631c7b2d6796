"""The table contract: planted runs in, whole rendered tables out; nothing is averaged away."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import tex
from support.experiments import toy_plan
from support.fake_runs import plant

from harness.config import catalogue
from harness.config.plan_file import PlanFile
from harness.config.table import TableSpec, load_tables
from harness.plan.outputs import TABLE_FORMS, columns_of, tables_of
from harness.plan.plan import Plan
from harness.results.frame import build_frame, read_frame, write_frame
from harness.runs.folder import RunFolder
from harness.tables import writers
from harness.tables.build import make_table, make_tables, write_tables
from harness.tables.html import html
from harness.tables.kinds.published import load_published
from harness.tables.table import Table
from harness.util.errors import ConfigErrors, HarnessError
from harness.util.paths import CONFIG, ROOT


def table(plan: Plan, name: str, **changes: Any) -> Table:
    spec = load_tables()[name].model_copy(update=changes)
    return make_table(name, spec, plan.as_file(), build_frame(plan), {})


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return toy_plan(
        tmp_path,
        tasks=["rotten_tomatoes", "stsb"],
        variants=["vanilla", "freelb"],
        seeds=[1, 2, 3],
        banner="toy",
    )


def test_every_mark_stands_in_its_cell_and_is_explained(plan: Plan) -> None:
    runs = {run.name.replace("/tiny/", "/"): run for run in plan.runs}
    plant(plan, runs["rotten_tomatoes/vanilla/seed1"], 0.70)
    plant(plan, runs["rotten_tomatoes/vanilla/seed2"], 0.74)
    plant(plan, runs["rotten_tomatoes/vanilla/seed3"], 0.90, selection="best-on-report")
    unresolved = {"l2": 0.1, "resolved": False}
    plant(plan, runs["rotten_tomatoes/freelb/seed1"], 0.80, perturbation=unresolved)
    plant(plan, runs["rotten_tomatoes/freelb/seed2"], 0.50, "collapsed")
    plant(plan, runs["stsb/vanilla/seed1"], 0.6, subset="the first 100 rows")
    plant(plan, runs["stsb/vanilla/seed2"], None, "diverged")
    plant(plan, runs["stsb/vanilla/seed3"], 0.62, contamination="its model card lists STS-B")
    log = RunFolder(plan.run_folder(runs["stsb/freelb/seed1"])).next_attempt()
    log.write_text("going\nFAILED MemoryError: no memory\n")
    assert writers.markdown(table(plan, "main")) == (
        "# A toy experiment: Scores\n\n"
        "**toy**\n\n"
        "| variant   | Rotten Tomatoes (accuracy) §   | STS-B (pearson) §    |\n"
        "|-----------|--------------------------------|----------------------|\n"
        "| vanilla   | 78.0 ±10.6 r (3/3)             | 40.7 ±35.2 dsk (3/3) |\n"
        "| freelb    | 65.0 ±21.2 mcu (2/3)           | - mf (0/3)           |\n\n"
        "8 of 12 runs. Scores in percent; mean ± sample standard deviation over seeds "
        "(runs with a value / planned runs).\n\n"
        "No significance marks: no two rows are comparable (same selection rule, training rows and seeds; "
        "tuned with tuned).\n\n"
        "§ = unequal n: 3, but 2 for freelb (tiny random BERT: Rotten Tomatoes (accuracy)); "
        "3, but 0 for freelb (tiny random BERT: STS-B (pearson)).\n\n"
        "m = missing: the run was not made: rotten_tomatoes/tiny/freelb/seed3, "
        "stsb/tiny/freelb/seed2,3.\n\n"
        "f = failed: an attempt ended without a result: stsb/tiny/freelb/seed1 (MemoryError: no memory).\n\n"
        "d = diverged (NaN or infinity); it counts with the score of guessing: "
        "stsb/tiny/vanilla/seed2 (diverged).\n\n"
        "c = collapsed (constant predictions, or not better than chance); the score counts: "
        "rotten_tomatoes/tiny/freelb/seed2 (collapsed).\n\n"
        "u = perturbation unresolved: it changes the loss less than rounding does: "
        "rotten_tomatoes/tiny/freelb/seed1.\n\n"
        "r = weights selected on the report split: not comparable with the others: "
        "rotten_tomatoes/tiny/vanilla/seed3.\n\n"
        "s = trained on a subset: stsb/tiny (the first 100 rows).\n\n"
        "k = contamination: the model was trained on the task's data before: "
        "stsb/tiny (its model card lists STS-B).\n\n"
        "Without diverged runs: tiny random BERT, vanilla, STS-B (pearson): 61.0 ±1.4 (2/3).\n\n"
        "Without collapsed runs: tiny random BERT, freelb, Rotten Tomatoes (accuracy): 80.0 (1/3).\n"
    )
    assert writers.csv_text(table(plan, "main")) == (
        "# toy\n"
        "model,variant,column,unit,mean,sd,smallest,largest,n,planned,missing,failed,interrupted,diverged,"
        "collapsed,unresolved,no_noise,report_selected,subset,contamination,ended,on_report,before,best,better,worse\n"
        "tiny,vanilla,Rotten Tomatoes (accuracy),percent,78.000000,10.583005,70.000000,90.000000,3,3,"
        "0,0,0,0,0,0,0,1,0,0,0,0,0,0,,\n"
        "tiny,vanilla,STS-B (pearson),percent,40.666667,35.232561,0.000000,62.000000,3,3,"
        "0,0,0,1,0,0,0,0,1,1,0,0,0,0,,\n"
        "tiny,freelb,Rotten Tomatoes (accuracy),percent,65.000000,21.213203,50.000000,80.000000,2,3,"
        "1,0,0,0,1,1,0,0,0,0,0,0,0,0,,\n"
        "tiny,freelb,STS-B (pearson),percent,,,,,0,3,2,1,0,0,0,0,0,0,0,0,0,0,0,0,,\n"
    )


def test_spread_and_aggregation_are_those_declared(plan: Plan) -> None:
    for run in plan.runs:
        plant(plan, run, {1: 0.5, 2: 0.6, 3: 0.9}[run.seed])
    texts = {
        ("mean", "sd"): "66.7 ±20.8 (3/3)",
        ("mean", "none"): "66.7 (3/3)",
        ("median", "range"): "60.0 [50.0, 90.0] (3/3)",
    }
    for (aggregation, spread), text in texts.items():
        made = table(plan, "main", aggregation=aggregation, spread=spread)
        assert made.blocks[0].rows[0] == ["vanilla", text, text]


def test_an_unequal_protocol_in_a_column_is_flagged(tmp_path: Path) -> None:
    variants = {"vanilla": {}, "freelb": {"settings": {"epochs": 2, "selection": "best-on-selection"}}}
    plan = toy_plan(tmp_path, variants=variants)
    made = table(plan, "main")
    assert made.head == ["variant", "Rotten Tomatoes (accuracy) ¶"]
    place = "(tiny random BERT: Rotten Tomatoes (accuracy))"
    assert made.notes[2] == (
        "¶ = unequal protocol: epochs 1, but 2 for freelb; "
        f"selection last, but best-on-selection for freelb {place}."
    )


def test_equal_compute_takes_the_last_evaluation_that_the_budget_covers(tmp_path: Path) -> None:
    plan = toy_plan(tmp_path, variants=["vanilla", "freelb", "mat"])
    curves = {
        "vanilla": [(1, 0.4), (2, 0.5)],
        "freelb": [(2, 0.6), (4, 0.7), (6, 0.8)],  # three times vanilla's cost
        "mat": [(1, 0.6), (2, 0.7)],  # 23.7 times: its first evaluation costs 11.8 vanilla runs
    }
    for run in plan.runs:
        plant(plan, run, 0.5, curve=curves[run.cell.variant])
    (block,) = table(plan, "equal-compute").blocks
    assert [row[:5] for row in block.rows] == [
        ["vanilla", "50.0 (1/1)", "50.0 e (1/1)", "50.0 e (1/1)", "50.0 (1/1)"],
        ["freelb", "60.0 (1/1)", "80.0 (1/1)", "80.0 e (1/1)", "80.0 (1/1)"],
        ["mat", "- b (0/1)", "- b (0/1)", "- b (0/1)", "70.0 (1/1)"],
    ]
    assert [row[5] for row in block.rows] == ["reference", "3.00 (1/1)", "23.67 (1/1)"]


def test_without_selection_rows_curves_are_those_of_the_report_split_and_marked(tmp_path: Path) -> None:
    settings = {"epochs": 2, "batch_size": 8, "train_rows": 16, "selection_rows": 0, "max_length": 16,
                "record_report_curve": True, "selection": "last"}  # fmt: skip
    plan = toy_plan(tmp_path, variants=["vanilla", "freelb"], settings=settings)
    for run in plan.runs:
        plant(plan, run, 0.7, report_curve=[(1, 0.5), (2, 0.7)])
    assert [row.curve_split for row in build_frame(plan)] == ["validation"] * 2
    made = table(plan, "equal-compute")
    complete = made.head.index("complete run")
    assert [row[complete] for row in made.blocks[0].rows] == ["70.0 o (1/1)"] * 2
    assert any(note.startswith("o = on the report split during training: ") for note in made.notes)
    inflation = table(plan, "selection-inflation").blocks[0].rows[0]
    assert inflation[1:5] == ["70.0 o (1/1)", "70.0 o (1/1)", "60.0 o (1/1)", "0.0 o (1/1)"]


def test_cost_counts_examples_and_compares_with_vanilla(plan: Plan) -> None:
    for run in plan.runs:
        plant(plan, run, 0.5, seconds=2.0 * run.seed if run.cell.variant == "vanilla" else 6.0)
    rows = table(plan, "cost").blocks[0].rows
    assert rows[0][1:3] == ["16 ±0 (3/3)"] * 2 and rows[0][5] == "4.0 ±2.0 (3/3)"
    assert rows[1][4] == "3.00 ±0.00 (3/3)" and rows[1][6] == "1.50 ±0.00 (3/3)"


def test_differences_to_the_reference_are_taken_seed_by_seed(tmp_path: Path) -> None:
    plan = toy_plan(tmp_path, variants=["mat", "mat-no-delta"], seeds=[1, 2, 3])
    for run in plan.runs:
        if run.name.endswith("mat/seed3"):
            continue
        plant(plan, run, 0.5 + run.seed / 10 + (0.01 * run.seed if run.cell.variant == "mat" else 0))
    (block,) = table(plan, "controls").blocks
    assert block.rows[0][2] == "reference"
    assert block.rows[1][1:3] == ["70.0 ±10.0 (3/3)", "-1.5 ±0.7 (2/3)"]


def test_the_average_needs_every_column_of_a_seed_and_says_what_it_lacks(tmp_path: Path) -> None:
    plan = toy_plan(tmp_path, tasks=["stsb", "cola"], seeds=[1, 2])
    for run in plan.runs[:3]:
        plant(plan, run, {"stsb": 0.8, "cola": 0.5}[run.cell.task_name])
    made = table(plan, "glue")
    assert made.head == ["variant", "CoLA (MCC)", "STS-B (Pearson)", "Average"]
    assert made.blocks[0].rows == [["vanilla", "50.0 m (1/2)", "80.0 ±0.0 (2/2)", "65.0 m (1/2)"]]
    assert made.notes[-1].startswith("Not in this experiment, nor in the average: SST-2 (acc), MRPC (acc)")


def test_selection_inflation_shows_reported_rows_only_where_they_were_recorded(plan: Plan) -> None:
    for run in plan.runs:
        plant(plan, run, 0.5, curve=[(1, 0.5), (2, 0.9), (3, 0.7)])
    made = table(plan, "selection-inflation")
    assert made.head[1:] == ["best", "last", "mean of last five", "best - last", "evaluations"]
    texts = ["90.0 ±0.0", "70.0 ±0.0", "70.0 ±0.0", "20.0 ±0.0", "3 ±0"]
    assert made.blocks[0].rows[0][1:] == [f"{text} (3/3)" for text in texts]


def test_which_tables_an_experiment_has_is_known_from_its_plan(tmp_path: Path, plan: Plan) -> None:
    assert list(tables_of(plan.as_file())) == [
        "main", "across-tasks", "claims", "cost", "equal-compute", "hyperparameters", "published",
        "selection-inflation",
    ]  # fmt: skip
    (tmp_path / "more").mkdir()
    more = toy_plan(tmp_path / "more", tasks=["cola", "rte"], variants=["mat", "mat-no-delta"])
    assert {"glue", "controls"} <= set(tables_of(more.as_file()))
    assert "equal-compute" not in tables_of(more.as_file())  # it needs vanilla


def plan_with(reports: list[str], folder: Path) -> PlanFile:
    """Return a plan of ANLI R1 with these report splits."""
    planned = toy_plan(folder, tasks=["anli_r1"]).as_file()
    task = planned.tasks["anli_r1"].model_copy(update={"report": reports})
    return planned.model_copy(update={"tasks": {"anli_r1": task}})


def test_a_column_takes_the_split_that_its_task_reports_and_names_a_wrong_one(tmp_path: Path) -> None:
    spec = load_tables()["anli"]
    for reports in (["dev", "test"], ["dev_r1", "test_r1"]):
        columns = columns_of(spec, plan_with(reports, tmp_path))
        assert [(c.title, c.split) for c in columns] == list(zip(["R1 dev", "R1 test"], reports, strict=True))
    with pytest.raises(HarnessError, match="task anli_r1: unknown report split 'dev or dev_r1'"):
        columns_of(spec, plan_with(["validation"], tmp_path))


def test_the_rows_of_a_frame_are_read_back_as_they_were_written(plan: Plan) -> None:
    for run in plan.runs[:-1]:
        plant(
            plan, run, None if run.seed == 2 else 0.5, "diverged" if run.seed == 2 else "ok", curve=[(1, 0.5)]
        )
    rows = write_frame(plan)
    assert read_frame(plan.folder / "frame.parquet") == rows == build_frame(plan)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"colums": []}, "unknown key 'colums'; did you mean 'columns'"),
        ({"columns": []}, "columns for a table of scores"),
        ({"columns": [{"task": "all", "value": "cost.forward"}]}, "did you mean 'cost.forward_passes'"),
        ({"columns": [{"task": "all", "relative": "ratio"}]}, "a reference for relative columns"),
        ({"columns": [{"title": "score"}]}, "either each column to name a task"),
        ({"rows": ["vanila"]}, "unknown variant 'vanila'; did you mean 'vanilla'"),
    ],
)
def test_errors_in_a_declaration_are_reported_with_file_and_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], part: str
) -> None:
    (tmp_path / "tables").mkdir()
    good = {"title": "Mine", "columns": [{"task": "all"}]}
    (tmp_path / "tables" / "mine.yaml").write_text(yaml.safe_dump({**good, **changes}))
    for module in ("harness.config.table", "harness.config.catalogue"):
        monkeypatch.setattr(sys.modules[module], "CONFIG", tmp_path)
    monkeypatch.setattr(catalogue, "variant_names", lambda: ["vanilla"])
    with pytest.raises(ConfigErrors, match=re.escape(part)) as caught:
        load_tables()
    assert "mine.yaml: " in caught.value.errors[0]


def test_a_published_number_stands_beside_its_measured_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = load_published()
    monkeypatch.setattr(
        "harness.tables.kinds.published.load_published",
        lambda: known.model_copy(update={"models": {**known.models, "bert-base-uncased": "tiny"}}),
    )
    plan = toy_plan(
        tmp_path,
        tasks=["cola"],
        variants={"mat": {}, "freelb": {}, "r-drop": {}},
        settings={"batch_size": 64},
    )
    for run in plan.runs:
        plant(plan, run, 0.60)
    made = table(plan, "published")
    line = next(n for n in made.numbers if n["variant"] == "mat" and n["published"] == "59.34")
    assert line["measured"] == "60.0 (1/1)" and line["difference"] == "+0.7"
    assert line["split"] == "yes" and line["selection"] == "yes"
    assert line["protocol"] == "no: epochs 20 against 3"
    best = next(n for n in made.numbers if n["published"] == "62.57")
    assert best["selection"] == "no: best-on-report against last"
    unknown = next(n for n in made.numbers if n["variant"] == "freelb")
    assert unknown["published"] == unknown["source"] == "not available" and unknown["difference"] == "-"
    rerun = [n for n in made.numbers if n["variant"] == "r-drop"]
    assert {n["protocol"] for n in rerun} == {"not stated"} and len(rerun) == 2
    assert made.notes[0].startswith("[1] github.com/Charles-Zhong/MAT BEST_LOGs/CoLA")


def test_every_published_number_has_its_source_and_names_that_exist_here() -> None:
    known = load_published()
    assert len(known.numbers) > 140
    assert all(number.source for number in known.numbers)
    variants = catalogue.variants()
    assert {name for names in known.methods.values() for name in names} <= set(variants)
    values = [(n.task, n.value) for n in known.numbers if n.source.startswith("github.com/Charles-Zhong/MAT")]
    assert ("CoLA", 62.57) in values and len(values) == 24 + 11  # six logs, and outputs of notebooks


def test_the_same_frame_gives_the_same_bytes_in_every_form(plan: Plan, tmp_path: Path) -> None:
    for run in plan.runs:
        plant(plan, run, 0.5 + run.seed / 100, curve=[(1, 0.4), (2, 0.6)])
    write_frame(plan)
    written = []
    for name in ("a", "b"):
        runs = read_frame(plan.folder / "frame.parquet")
        paths = write_tables(make_tables(plan.as_file(), runs, {}), tmp_path / name)
        written.append({path.name: path.read_bytes() for path in paths})
    assert written[0] == written[1]
    assert len(written[0]) == len(TABLE_FORMS) * len(tables_of(plan.as_file()))
    text = b"".join(written[0].values()).decode()
    assert not re.search(r"\b20\d\d-\d\d-\d\d\b|\d\d:\d\d:\d\d", text)


def test_every_latex_table_is_sound(plan: Plan, tmp_path: Path) -> None:
    for run in plan.runs[:4]:
        plant(plan, run, 0.5, "collapsed", subset="50% & more_of {it}", curve=[(1, 0.5)])
    paths = write_tables(make_tables(plan.as_file(), build_frame(plan), {}), tmp_path)
    sources = [path.read_text() for path in paths if path.suffix == ".tex"]
    assert len(sources) == len(tables_of(plan.as_file()))
    assert any("50\\% \\& more\\_of \\{it\\}" in source for source in sources)
    for source in sources:
        tex.check(source)
    if tex.ENGINE:
        tex.compile_all(sources, tmp_path)


@pytest.mark.parametrize(
    ("wrong", "part"),
    [
        (("\\toprule", ""), "toprule"),
        (("\\end{tabular}", ""), "tabular"),
        (("vanilla &", "vanilla & &"), "cells"),
        (("Rotten", "Rotten_Tomatoes"), "_"),
        (("Rotten", "50% Rotten"), "%"),
        (("\\caption{", "\\caption{{"), "brace"),
        (("±", "±"), None),
        (("$\\pm$", "$\\pm"), "\\$"),
        (("$\\pm$", "±"), "ASCII"),
    ],
)
def test_the_latex_check_can_fail(plan: Plan, wrong: tuple[str, str], part: str | None) -> None:
    for run in plan.runs:
        plant(plan, run, 0.5 + run.seed / 10)
    source = writers.latex(table(plan, "main"))
    if part is None:
        tex.check(source)
        return
    assert wrong[0] in source
    with pytest.raises(AssertionError, match=part):
        tex.check(source.replace(wrong[0], wrong[1], 1))


def test_the_page_is_whole_and_reaches_for_nothing_outside(plan: Plan) -> None:
    for run in plan.runs:
        plant(plan, run, 0.5, subset="<b>&")
    text = html(table(plan, "cost"))
    assert "&lt;b&gt;&amp;" in text and "<b>" not in text
    assert text.count("<tr>") == 1 + 2 * 2 and text.count("<td>") == 4 * 9
    assert not re.search(r"https?:|src=|href=|import ", text)


def test_the_documented_declaration_is_a_table(plan: Plan, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "tables.md").read_text()
    example = yaml.safe_load(re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1])
    for run in plan.runs:
        plant(plan, run, 0.5, seconds=10.0)
    spec = TableSpec.model_validate(example)
    made = make_table("mine", spec, plan.as_file(), build_frame(plan), {})
    shown = re.search(r"```\n(\|.*?)```", text, re.DOTALL)[1]
    assert shown in writers.markdown(made)
    assert (CONFIG / "tables" / "cost.yaml").is_file()
