"""What the Snakefile asks of a plan: files, and the facts of one run by its folder."""

import sys
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.paths import CONFIG, shown
from harness.plan import figures
from harness.plan.figures import figures_of
from harness.plan.grid import Run
from harness.plan.keys import digest
from harness.plan.plan import Plan, make_plan, write_plan
from harness.plan.study import Study
from harness.plan.tables import FORMS, tables_of
from harness.runs.folder import RunFolder

DEFAULT = CONFIG / "quick.yaml"


class Workflow:
    """A plan in Snakemake's terms: paths as texts, lookups by wildcards."""

    def __init__(self, plan: Plan) -> None:
        self.plan_file = str(write_plan(plan))
        facts = plan.as_json()
        self.plan = plan
        self.file: str = facts["file"]
        self.folder = str(plan.folder)
        self.threads = plan.experiment.threads
        self.cells: dict[str, Any] = facts["cells"]
        self.runs = {run["folder"]: run for run in facts["runs"]}
        self.results = [_result(plan, run) for run in plan.runs if not run.cell.waits]
        self._plan_searches(plan)
        root, stamps = plan.experiment.data_root is not None, f"{plan.cache}/fetched"
        self._stamps = {
            (c.task_name, c.model_name): [
                *([f"{stamps}/task-{c.task_name}"] if c.task.from_hub(root) else []),
                *([f"{stamps}/model-{c.model_name}"] if c.model.hub else []),
            ]
            for c in plan.cells
        }
        self.tables = [f"{self.folder}/tables/{name}.{form}" for name in tables_of(facts) for form in FORMS]
        self.figures = [
            f"{self.folder}/figures/{name}.{form}" for name in figures_of(facts) for form in figures.FORMS
        ]
        self.report = f"{self.folder}/report.html"

    def _plan_searches(self, plan: Plan) -> None:
        """Note the searches that are still to do: a stamp a worker, and one for all tuned files."""
        self.studies = f"{self.folder}/studies"
        waiting = plan.studies(waiting=True)
        goals = {study.hash: f"{study.tuning.kind}{study.tuning.amount:g}" for study in waiting}
        self.workers = [
            f"{self.studies}/{study.folder}/{goals[study.hash]}/worker{number}"
            for study in waiting
            for number in range(1, study.tuning.workers + 1)
        ]
        self.tuned = f"{self.studies}/tuned-{digest(goals)[:8]}"
        if waiting:  # a stamp without its tuned files stands for nothing
            Path(self.tuned).unlink(missing_ok=True)

    def _study(self, wildcards: Any) -> Study:
        folder = Path(wildcards.task, wildcards.model, wildcards.study)
        return next(study for study in self.plan.studies() if study.folder == folder)

    def search_name(self, wildcards: Any) -> str:
        """Return the name of the search whose folder the wildcards spell."""
        return self._study(wildcards).name

    def search_tokens(self, wildcards: Any) -> list[str]:
        """Return the stamps of the token ids that a search reads."""
        folders = {self.plan.tokens_folder(cell) for cell in self._study(wildcards).cells}
        return [f"{folder}/tokens.json" for folder in sorted(folders)]

    def found(self, _checkpoint: Any) -> list[str]:
        """Return the records of the runs whose arguments the searches have found; plan.json follows."""
        if any(run.cell.waits for run in self.plan.runs):
            before = {run.cell.name for run in self.plan.runs if run.cell.waits}
            self.plan = make_plan(self.plan.file, self.plan.results)
            write_plan(self.plan)
            self.cells = self.plan.as_json()["cells"]
            self.runs = {run["folder"]: run for run in self.plan.as_json()["runs"]}
            self._found = [_result(self.plan, r) for r in self.plan.runs if r.cell.name in before]
        return self._found

    def run(self, wildcards: Any) -> dict[str, Any]:
        """Return the facts of the run whose folder the wildcards spell."""
        w = wildcards
        run: dict[str, Any] = self.runs[f"{self.folder}/runs/{w.task}/{w.model}/{w.variant}/{w.run}"]
        return run

    def fetched(self, wildcards: Any) -> list[str]:
        """Return the stamps of what must be downloaded before the token ids can be made."""
        w = wildcards
        return self._stamps[(w.task, w.model)]

    def tokens(self, wildcards: Any) -> str:
        """Return the stamp of the token ids that the run reads."""
        return f"{self.cells[self.run(wildcards)['cell']]['tokens']}/tokens.json"


def _result(plan: Plan, run: Run) -> str:
    return f"{plan.run_folder(run)}/result.json"


def open_workflow(config_files: list[Any]) -> Workflow:
    """Return the workflow of the experiment that Snakemake was given, or of the default one.

    A broken ``result.json`` is set aside, so that Snakemake sees that it is missing.

    Raises:
        WorkflowError: the experiment holds mistakes; Snakemake prints them and stops.
    """
    from snakemake.exceptions import WorkflowError

    try:
        plan = _plan(config_files)
        if advice := plan.must_be_fetched():
            raise HarnessError(advice)
    except HarnessError as error:
        raise WorkflowError(str(error)) from None
    for run in plan.runs:
        folder = RunFolder(plan.run_folder(run))
        if folder.set_broken_aside():
            print(
                f"{folder.result_path} was broken and is set aside; the run counts as missing",
                file=sys.stderr,
            )
    return Workflow(plan)


def _plan(config_files: list[Any]) -> Plan:
    if len(config_files) > 1:
        names = ", ".join(map(str, config_files))
        raise HarnessError(f"--configfile: one experiment at a time, got {names}")
    return make_plan(Path(config_files[0]) if config_files else Path(shown(DEFAULT)))
