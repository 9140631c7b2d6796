"""From run folders to tables: exactly once, nothing averaged away, the same bytes."""

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import toyplan

from harness.plan.grid import Run
from harness.plan.plan import Plan
from harness.report import digest, tables
from harness.report.frame import build_frame, write_frame
from harness.report.mirror import experiment_id, mirror, stored_runs
from harness.report.store import open_store
from harness.runs.folder import RunFolder
from harness.runs.record import Cost, Curve, Result

UNRESOLVED = "rotten_tomatoes/tiny/freelb/seed1"


def planted(plan: Plan, run: Run, score: float | None, status: str = "ok", seconds: float = 1.0) -> RunFolder:
    """Write a record with a known score."""
    folder = RunFolder(plan.run_folder(run))
    sizes = {"l2": 0.1, "resolved": run.name != UNRESOLVED} if run.cell.variant == "freelb" else None
    passes = dict.fromkeys(
        ["forward_passes", "backward_passes", "input_backward_passes", "optimizer_steps"], 1
    )
    cost = Cost(
        **passes, examples=1, tokens=1, computed_tokens=1,
        evaluation_passes=1, train_seconds=seconds, evaluation_seconds=1.0, peak_memory_mb=1.0,
    )  # fmt: skip
    folder.write_result(
        Result(
            run_key=run.key,
            experiment=plan.experiment.name,
            task=run.cell.task_name,
            model=run.cell.model_name,
            method=run.cell.method.name,
            variant=run.cell.variant,
            seed=run.seed,
            status=status,
            selection={"rule": "last", "step": 1},
            metrics={} if score is None else {"validation": {run.cell.task.rank: score}},
            curve=Curve(),
            report_curve=Curve(),
            cost=cost,
            flags={"reason": None if status == "ok" else status, "perturbation": sizes},
            hashes={"weights": "0"},
        )
    )
    return folder


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return toyplan.plan(
        tmp_path,
        tasks=["rotten_tomatoes", "stsb"],
        variants=["vanilla", "freelb"],
        seeds=[1, 2, 3],
        banner="toy",
    )


def test_the_mirror_holds_each_run_once(plan: Plan) -> None:
    folders = [planted(plan, run, 0.5) for run in plan.runs[:3]]
    assert mirror(plan) == {"added": 3, "kept": 0, "superseded": 0}
    assert mirror(plan) == {"added": 0, "kept": 3, "superseded": 0}
    planted(plan, plan.runs[0], 0.75)
    assert mirror(plan) == {"added": 1, "kept": 2, "superseded": 0}
    kept = folders[1].result_path.read_bytes()
    folders[1].result_path.unlink()
    assert mirror(plan) == {"added": 0, "kept": 2, "superseded": 1}
    assert build_frame(plan)["status"].tolist()[:3] == ["ok", "missing", "ok"]
    folders[1].result_path.write_bytes(kept)
    assert mirror(plan) == {"added": 0, "kept": 3, "superseded": 0}
    client = open_store(plan.results)
    runs = stored_runs(client, experiment_id(client, plan))
    assert len(runs) == len({run.data.tags["run_key"] for run in runs}) == 3
    assert build_frame(plan)["score"].tolist()[:3] == [0.75, 0.5, 0.5]


def test_the_whole_table(plan: Plan) -> None:
    scores = {
        "rotten_tomatoes/tiny/vanilla": [(0.70, "ok"), (0.74, "ok"), (0.72, "ok")],
        "rotten_tomatoes/tiny/freelb": [(0.80, "ok"), (0.50, "collapsed"), (None, "missing")],
        "stsb/tiny/vanilla": [(0.6, "ok"), (None, "diverged"), (None, "missing")],
    }
    for run in plan.runs:
        score, status = scores.get(run.cell.name, [(None, "missing")] * 3)[run.seed - 1]
        if status != "missing":
            planted(plan, run, score, status)
    mirror(plan)
    table = tables.main_table(plan, write_frame(plan))
    assert tables.markdown(table) == (
        "# A toy experiment\n\n"
        "**toy**\n\n"
        "| variant   | Rotten Tomatoes (accuracy)   | STS-B (pearson)   |\n"
        "|-----------|------------------------------|-------------------|\n"
        "| vanilla   | 72.0 ±2.0 (3/3)              | 60.0 d (1/3)      |\n"
        "| freelb    | 65.0 ±21.2 cu (2/3)          | - (0/3)           |\n\n"
        "7 of 12 runs. Percent: mean ± sample standard deviation over seeds "
        "(runs with a score / runs planned).\n\n"
        "c = collapsed (one class, or not better than chance: permutation p > .05), yet in the mean: "
        "rotten_tomatoes/tiny/freelb/seed2.\n\n"
        "d = diverged (NaN or infinity), without a score: stsb/tiny/vanilla/seed2.\n\n"
        "u = perturbation unresolved: it changes the loss less than rounding does: "
        "rotten_tomatoes/tiny/freelb/seed1.\n\n"
        "Missing: rotten_tomatoes/tiny/freelb/seed3, stsb/tiny/vanilla/seed3, "
        "stsb/tiny/freelb/seed1, stsb/tiny/freelb/seed2, stsb/tiny/freelb/seed3.\n"
    )
    text = tables.latex(table)
    for part in ("\\toprule", "72.0 $\\pm$2.0 (3/3)", "\\textbf{toy}", "rotten\\_tomatoes"):
        assert part in text
    numbers = tables.comma_separated(table).splitlines()
    assert numbers[0] == "# toy"
    assert numbers[2].startswith("tiny,vanilla,rotten_tomatoes,72.000000,2.000000,3,3,0,0,0,0,")


def test_the_same_folders_give_the_same_bytes_from_a_store_made_anew(plan: Plan, tmp_path: Path) -> None:
    for run in plan.runs:
        planted(plan, run, 0.5 + run.seed / 100)
    shutil.copytree(plan.folder / "runs", tmp_path / "elsewhere" / plan.experiment.name / "runs")
    written = []
    for one in (plan, replace(plan, results=tmp_path / "elsewhere")):
        assert mirror(one)["added"] == 12
        frame = write_frame(one)
        assert pd.read_parquet(one.folder / "frame.parquet").equals(frame)
        written.append({p.name: p.read_bytes() for p in tables.write_tables(one, frame)})
    assert written[0] == written[1]


def test_without_results_the_table_says_so(plan: Plan) -> None:
    mirror(plan)
    text = tables.markdown(tables.main_table(plan, write_frame(plan)))
    assert "0 of 12 runs" in text and "- (0/3)" in text


def test_the_digest_groups_failures_by_cause(plan: Plan) -> None:
    def failed(run: Run, last: str) -> None:
        path = RunFolder(plan.run_folder(run)).next_attempt()
        path.write_text(f"2026-01-01 INFO going\n{last}\n")

    planted(plan, plan.runs[0], 0.5).next_attempt().write_text("fine\n")
    for run in plan.runs[1:6]:
        failed(run, f"{digest.FAILED}RuntimeError: {run.name}: no memory for {run.seed * 1000} bytes")
    failed(plan.runs[6], "INFO still going")
    text = digest.write_digest(plan)
    assert text is not None
    assert text.startswith("# toy: 6 failed, 1 of 12 runs done")
    assert f"## 5 x RuntimeError: {plan.runs[1].name}: no memory for" in text
    assert "- and 2 more" in text
    assert f"## 1 x {digest.SILENT}" in text
    assert digest.retry_command(plan) in text
    listed = (plan.folder / "failed.txt").read_text().splitlines()
    assert sorted(listed) == sorted(str(RunFolder(plan.run_folder(r)).result_path) for r in plan.runs[1:7])
    for run in plan.runs[1:7]:
        planted(plan, run, 0.5)
    assert digest.write_digest(plan) is None
    assert not (plan.folder / "failed.txt").exists()
