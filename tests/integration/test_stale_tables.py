"""Tables are those of the plan and of the results that exist, never of an earlier plan."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from support.experiments import toy_plan
from support.fake_runs import plant

from harness.cli import main
from harness.config.plan_file import read_plan_file
from harness.plan.plan import Plan, make_plan
from harness.report.render import render
from harness.results.export import export
from harness.snakemake.workflow import Workflow
from harness.util.errors import HarnessError
from harness.util.paths import CONFIG, PUBLISHED


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """A plan of two variants and three seeds, whose runs all have 60 %."""
    plan = toy_plan(tmp_path, variants=["vanilla", "freelb"], seeds=[1, 2, 3])
    for run in plan.runs:
        plant(plan, run, 0.6)
    export(plan)
    return plan


def changed(plan: Plan, **changes: Any) -> Plan:
    content = {**yaml.safe_load(plan.file.read_text()), **changes}
    plan.file.write_text(yaml.safe_dump(content))
    return make_plan(plan.file, plan.results)


def main_table(plan: Plan, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the cells of the main table as ``harness tables`` prints them, and the number of runs."""
    assert main(["tables", str(plan.file), "--out", str(plan.results)]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [
        line.split("|")[2].strip() for line in lines if line.startswith(("| vanilla", "| freelb", "| pgd"))
    ]
    return [*rows, next(line.split(". ")[0] for line in lines if " runs. " in line)]


def test_tables_are_of_the_plan_and_of_the_results_that_exist(
    plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main_table(plan, capsys) == ["60.0 ±0.0 (3/3)"] * 2 + ["6 of 6 runs"]
    more = changed(plan, seeds=[1, 2, 3, 4, 5])
    assert main_table(more, capsys) == ["60.0 ±0.0 m (3/5)"] * 2 + ["6 of 10 runs"]
    for run in more.runs:
        plant(more, run, 0.7)
    assert main_table(more, capsys) == ["70.0 ±0.0 (5/5)"] * 2 + ["10 of 10 runs"]
    other = changed(more, settings={**more.experiment.settings, "learning_rate": 1e-3})
    assert main_table(other, capsys) == ["- m (0/5)"] * 2 + ["0 of 10 runs"]
    added = changed(more, settings=more.experiment.settings, variants=["vanilla", "freelb", "pgd"])
    assert main_table(added, capsys) == ["70.0 ±0.0 (5/5)"] * 2 + ["- m (0/5)", "10 of 15 runs"]


def test_a_frame_of_another_plan_is_not_rendered(plan: Plan, tmp_path: Path) -> None:
    newer = changed(plan, seeds=[1, 2, 3, 4])
    with pytest.raises(
        HarnessError, match=r"frame.parquet is not of this plan; make it again with: harness tables"
    ):
        render(newer.as_file(), plan.folder, tmp_path / "tables")
    assert not (tmp_path / "tables").exists()
    render(read_plan_file(plan.folder / "plan.json"), plan.folder, tmp_path / "tables")


def test_edited_declarations_and_published_numbers_make_tables_stale(plan: Plan) -> None:
    declarations = Workflow(plan).declarations
    assert {str(CONFIG / "tables" / "claims.yaml"), str(PUBLISHED)} <= set(declarations)
    rule = (Path(__file__).parents[2] / "workflow" / "rules" / "report.smk").read_text()
    assert "declarations=WORKFLOW.declarations" in rule.partition("rule render:")[2].partition("output:")[0]
