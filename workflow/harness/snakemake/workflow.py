"""The plan in Snakemake's terms: the files of each target, and the facts of one run by its wildcards."""

import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.plan.grid import Cell, Run
from harness.plan.outputs import FIGURE_FORMS, TABLE_FORMS, declaration_files, figures_of, tables_of
from harness.plan.plan import Plan, make_plan, write_plan
from harness.plan.study import Study
from harness.runs.folder import RunFolder
from harness.snakemake.job_packs import JobPack, job_packs, read_pack, write_packs
from harness.snakemake.orphans import ORPHANS, Orphans, find_orphans
from harness.snakemake.partitions import time_limit
from harness.snakemake.resources import Resources
from harness.util.errors import HarnessError, unknown
from harness.util.hashing import digest
from harness.util.paths import CONFIG, display_path

DEFAULT = CONFIG / "quick.yaml"
HERE = "here"
"""``--config here=yes``: an experiment for a cluster may be trained on this machine."""


class Workflow:
    """A plan with paths as texts, and look-ups by wildcards."""

    def __init__(
        self,
        plan: Plan,
        resources: Resources | None = None,
        missing: list[Run] | None = None,
        orphans: Orphans | None = None,
    ) -> None:
        """With only a plan it is the workflow of a job, which looks up its rule and decides nothing."""
        self.plan = plan
        self.resources = resources or Resources(plan)
        self.missing = missing or []
        self.orphans = orphans or Orphans()
        planned = plan.as_file()
        self.plan_file = str(plan.folder / "plan.json")
        self.file = planned.file
        self.folder = str(plan.folder)
        self.threads = plan.experiment.threads
        self.runs = {str(plan.run_folder(run)): run for run in plan.runs}
        self.results = self._targets([run for run in plan.runs if not run.cell.awaits_tuning])
        self._tuned_results: list[str] = []
        self._plan_studies(plan)
        data_root, stamps = plan.experiment.data_root is not None, f"{plan.cache}/fetched"
        self._stamps = {
            (c.task_name, c.model_name): [
                *([f"{stamps}/task-{c.task_name}"] if c.task.from_hub(data_root) else []),
                *([f"{stamps}/model-{c.model_name}"] if c.model.hub else []),
            ]
            for c in plan.cells
        }
        self.tables = _files(f"{self.folder}/tables", tables_of(planned), TABLE_FORMS)
        self.figures = _files(f"{self.folder}/figures", figures_of(planned), FIGURE_FORMS)
        self.report = f"{self.folder}/report.html"
        self.declarations = declaration_files()

    def _targets(self, runs: list[Run]) -> list[str]:
        """Return the files that show that runs are done: results, or the stamps of job packs."""
        packs: list[JobPack] = []
        if self.plan.experiment.runs_per_job > 1:
            missing = {run.key for run in self.missing}
            to_do = [run for run in runs if run.key in missing and not self._is_orphan(run)]
            packs = job_packs(self.plan, to_do)
            write_packs(packs)
        packed = {run.key for pack in packs for run in pack.runs}
        single = [f"{self.plan.run_folder(run)}/result.json" for run in runs if run.key not in packed]
        return [*single, *(str(pack.stamp) for pack in packs)]

    def _is_orphan(self, run: Run) -> bool:
        return str(self.plan.run_folder(run)) in self.orphans.runs

    def _plan_studies(self, plan: Plan) -> None:
        """Set the stamps of unfinished studies: one per worker, and one for all tuned files."""
        self.studies = f"{self.folder}/studies"
        waiting = plan.studies(waiting=True)
        budgets = {str(study.folder): f"{study.tuning.kind}{study.tuning.amount:g}" for study in waiting}
        self.workers = [
            f"{self.studies}/{study.folder}/{budgets[str(study.folder)]}/worker{number}"
            for study in waiting
            for number in range(1, study.tuning.workers + 1)
        ]
        self.tuned = f"{self.studies}/tuned-{digest(budgets)[:8]}"
        if waiting:  # tuned files are missing, so the stamp is not valid
            Path(self.tuned).unlink(missing_ok=True)

    def _study(self, wildcards: Any) -> Study:
        folder = Path(wildcards.task, wildcards.model, wildcards.study)
        return next(study for study in self.plan.studies() if study.folder == folder)

    def study_name(self, wildcards: Any) -> str:
        """Return the name of the study in the folder of the wildcards."""
        return self._study(wildcards).name

    def study_tokens(self, wildcards: Any) -> list[str]:
        """Return the stamps of the token ids that a study reads."""
        return self.tokens(self._study(wildcards).cells)

    def study_minutes(self, wildcards: Any, attempt: int) -> int:
        """Return the minutes of a worker of a study."""
        return self.resources.study_minutes(self._study(wildcards), attempt)

    def study_memory(self, wildcards: Any, attempt: int) -> int:
        """Return the memory of a worker of a study in MB."""
        return self.resources.memory_mb(self._study(wildcards).cells, attempt)

    def tuned_results(self, checkpoints: Any) -> list[str]:
        """Return the targets of the runs that awaited tuning, and write the new plan.json."""
        if not self.workers:
            return []
        checkpoints.tuned.get()  # Snakemake calls this again when the tuned files exist
        if any(run.cell.awaits_tuning for run in self.plan.runs):
            before = {run.cell.name for run in self.plan.runs if run.cell.awaits_tuning}
            self.plan = make_plan(self.plan.file, self.plan.results)
            write_plan(self.plan)
            self.runs = {str(self.plan.run_folder(run)): run for run in self.plan.runs}
            runs = [run for run in self.plan.runs if run.cell.name in before]
            self.resources.plan = self.plan
            self.missing = without_result(self.plan, runs)
            self._tuned_results = self._targets(runs)
        return self._tuned_results

    def run(self, wildcards: Any) -> Run:
        """Return the run in the folder of the wildcards."""
        w = wildcards
        return self.runs[f"{self.folder}/runs/{w.task}/{w.model}/{w.variant}/{w.run}"]

    def cells(self, wildcards: Any) -> list[Cell]:
        """Return the cells of the run, or of the runs of the job pack, of the wildcards."""
        w = wildcards
        if not hasattr(w, "pack"):
            return [self.run(w).cell]
        file = self.plan.folder / "packs" / w.task / w.model / f"{w.pack}.json"
        return [run.cell for run in read_pack(self.plan, file)]

    def minutes(self, wildcards: Any, attempt: int) -> int:
        """Return the minutes of a training job."""
        return self.resources.minutes(self.cells(wildcards), attempt)

    def memory(self, wildcards: Any, attempt: int) -> int:
        """Return the main memory of a training job in MB."""
        return self.resources.memory_mb(self.cells(wildcards), attempt)

    def fetched(self, wildcards: Any) -> list[str]:
        """Return the stamps of the downloads that the token ids need."""
        w = wildcards
        return self._stamps[(w.task, w.model)]

    def tokens(self, cells: Iterable[Cell]) -> list[str]:
        """Return the stamps of the token ids of these cells."""
        return sorted({f"{self.plan.tokens_folder(cell)}/tokens.json" for cell in cells})

    def waited(self, wildcards: Any) -> list[str]:
        """Return the stamp that says that the orphans have ended, if the run is one of them."""
        return [f"{self.folder}/{ORPHANS}.done"] if self._is_orphan(self.run(wildcards)) else []


def _files(folder: str, names: Iterable[str], forms: Iterable[str]) -> list[str]:
    """Return the file of each name in each form."""
    suffixes = list(forms)
    return [f"{folder}/{name}.{form}" for name in names for form in suffixes]


def open_workflow(snakemake: Any) -> Workflow:
    """Return the workflow of the experiment that Snakemake was given, or of the default one.

    A damaged ``result.json`` is renamed, so that Snakemake treats it as missing.

    Raises:
        WorkflowError: the experiment has errors; Snakemake prints them and stops.
    """
    from snakemake.exceptions import WorkflowError

    try:
        _check_config(snakemake.config_settings.config)
        plan = _plan(snakemake.configfiles)
        if advice := plan.must_be_fetched():
            raise HarnessError(advice)
    except HarnessError as error:
        raise WorkflowError(str(error)) from None
    return _main_workflow(plan, snakemake) if snakemake.is_main_process else _job_workflow(plan)


def _main_workflow(plan: Plan, snakemake: Any) -> Workflow:
    """Return the workflow of the user's Snakemake."""
    write_plan(plan)
    missing = without_result(plan, plan.runs)
    orphans = find_orphans(plan, missing)
    orphans.write(plan.folder / f"{ORPHANS}.json")
    (plan.folder / f"{ORPHANS}.done").unlink(missing_ok=True)
    return Workflow(plan, Resources(plan, lambda: time_limit(snakemake)), missing, orphans)


def _job_workflow(plan: Plan) -> Workflow:
    """Return the workflow of a job's Snakemake.

    SLURM sends the warning before a time limit to every process of a job. Snakemake ignores it, so that the
    run has the time to write its checkpoint.
    """
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    return Workflow(plan)


def without_result(plan: Plan, runs: list[Run]) -> list[Run]:
    """Return those of ``runs`` that have no result; damaged results are renamed."""
    missing = []
    for run in runs:
        folder = RunFolder(plan.run_folder(run))
        if folder.set_broken_aside():
            print(
                f"{folder.result_path} was damaged and is renamed; the run counts as missing",
                file=sys.stderr,
            )
        if not folder.result_path.exists():
            missing.append(run)
    return missing


def _check_config(config: dict[str, Any]) -> None:
    if wrong := [key for key in config if key != HERE]:
        raise HarnessError(
            f"--config: {unknown('key', wrong[0], [HERE])}; the values of an experiment are in its file"
        )


def _plan(config_files: list[Any]) -> Plan:
    if len(config_files) > 1:
        names = ", ".join(map(str, config_files))
        raise HarnessError(f"--configfile: one experiment at a time, got {names}")
    return make_plan(Path(config_files[0]) if config_files else Path(display_path(DEFAULT)))
