"""What the Snakefile asks of a plan: files, and the facts of one run by its folder."""

import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.cluster.left_over import LeftOver, left_over
from harness.cluster.packs import Pack, packs_of, read_pack, write_packs
from harness.cluster.partitions import longest
from harness.cluster.requests import Requests
from harness.errors import HarnessError, unknown
from harness.paths import CONFIG, shown
from harness.plan import figures
from harness.plan.figures import figures_of
from harness.plan.grid import Cell, Run
from harness.plan.keys import digest
from harness.plan.plan import Plan, make_plan, write_plan
from harness.plan.study import Study
from harness.plan.tables import FORMS, tables_of
from harness.runs.folder import RunFolder

DEFAULT = CONFIG / "quick.yaml"
HERE = "here"
"""``--config here=yes``: an experiment that is meant for a cluster may train on this machine."""


class Workflow:
    """A plan in Snakemake's terms: paths as texts, lookups by wildcards."""

    def __init__(
        self,
        plan: Plan,
        requests: Requests | None = None,
        missing: list[Run] | None = None,
        left: LeftOver | None = None,
    ) -> None:
        """Made of a plan alone it is a job's, which looks for its rule and decides nothing."""
        self.plan = plan
        self.requests = requests or Requests(plan)
        self.missing = missing or []
        self.left = left or LeftOver()
        facts = plan.as_json()
        self.plan_file = str(plan.folder / "plan.json")
        self.file: str = facts["file"]
        self.folder = str(plan.folder)
        self.threads = plan.experiment.threads
        self.runs = {str(plan.run_folder(run)): run for run in plan.runs}
        self.results = self._made([run for run in plan.runs if not run.cell.waits])
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

    def _made(self, runs: list[Run]) -> list[str]:
        """Return what says that runs are there: a record, or the stamp of the pack that makes several."""
        packed: list[Pack] = []
        if self.plan.experiment.runs_per_job > 1:
            missing = {run.key for run in self.missing}
            packed = packs_of(
                self.plan, [run for run in runs if run.key in missing and not self._is_left(run)]
            )
            write_packs(packed)
        together = {run.key for pack in packed for run in pack.runs}
        single = [f"{self.plan.run_folder(run)}/result.json" for run in runs if run.key not in together]
        return [*single, *(str(pack.stamp) for pack in packed)]

    def _is_left(self, run: Run) -> bool:
        return str(self.plan.run_folder(run)) in self.left.runs

    def _plan_searches(self, plan: Plan) -> None:
        """Note the searches that are still to do: a stamp a worker, and one for all tuned files."""
        self.studies = f"{self.folder}/studies"
        waiting = plan.studies(waiting=True)
        goals = {str(study.folder): f"{study.tuning.kind}{study.tuning.amount:g}" for study in waiting}
        self.workers = [
            f"{self.studies}/{study.folder}/{goals[str(study.folder)]}/worker{number}"
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
        return self.tokens(self._study(wildcards).cells)

    def search_minutes(self, wildcards: Any, attempt: int) -> int:
        """Return the minutes that a worker of a search asks for."""
        return self.requests.search_minutes(self._study(wildcards), attempt)

    def search_memory(self, wildcards: Any, attempt: int) -> int:
        """Return the MB that a worker of a search asks for."""
        return self.requests.memory_mb(self._study(wildcards).cells, attempt)

    def tuned_results(self, checkpoints: Any) -> list[str]:
        """Return the records of the runs that waited for a search, none without one; plan.json follows."""
        if not self.workers:
            return []
        checkpoints.tuned.get()  # Snakemake asks again when the tuned files are there
        if any(run.cell.waits for run in self.plan.runs):
            before = {run.cell.name for run in self.plan.runs if run.cell.waits}
            self.plan = make_plan(self.plan.file, self.plan.results)
            write_plan(self.plan)
            self.runs = {str(self.plan.run_folder(run)): run for run in self.plan.runs}
            runs = [run for run in self.plan.runs if run.cell.name in before]
            self.requests.plan = self.plan
            self.missing = without_record(self.plan, runs)
            self._found = self._made(runs)
        return self._found

    def run(self, wildcards: Any) -> Run:
        """Return the run whose folder the wildcards spell."""
        w = wildcards
        return self.runs[f"{self.folder}/runs/{w.task}/{w.model}/{w.variant}/{w.run}"]

    def cells(self, wildcards: Any) -> list[Cell]:
        """Return the cells of the run, or of the pack's runs, that the wildcards name."""
        w = wildcards
        if not hasattr(w, "pack"):
            return [self.run(w).cell]
        file = self.plan.folder / "packs" / w.task / w.model / f"{w.pack}.json"
        return [run.cell for run in read_pack(self.plan, file)]

    def minutes(self, wildcards: Any, attempt: int) -> int:
        """Return the minutes that a training job asks for."""
        return self.requests.minutes(self.cells(wildcards), attempt)

    def memory(self, wildcards: Any, attempt: int) -> int:
        """Return the MB of main memory that a training job asks for."""
        return self.requests.memory_mb(self.cells(wildcards), attempt)

    def fetched(self, wildcards: Any) -> list[str]:
        """Return the stamps of what must be downloaded before the token ids can be made."""
        w = wildcards
        return self._stamps[(w.task, w.model)]

    def tokens(self, cells: Iterable[Cell]) -> list[str]:
        """Return the stamps of the token ids that runs of these cells read."""
        return sorted({f"{self.plan.tokens_folder(cell)}/tokens.json" for cell in cells})

    def waited(self, wildcards: Any) -> list[str]:
        """Return the stamp that says that nobody works on the run any more, where somebody did."""
        return [f"{self.folder}/left-over.done"] if self._is_left(self.run(wildcards)) else []


def open_workflow(snakemake: Any) -> Workflow:
    """Return the workflow of the experiment that Snakemake was given, or of the default one.

    A broken ``result.json`` is set aside, so that Snakemake sees that it is missing.

    Raises:
        WorkflowError: the experiment holds mistakes; Snakemake prints them and stops.
    """
    from snakemake.exceptions import WorkflowError

    try:
        _must_know(snakemake.config_settings.config)
        plan = _plan(snakemake.configfiles)
        if advice := plan.must_be_fetched():
            raise HarnessError(advice)
    except HarnessError as error:
        raise WorkflowError(str(error)) from None
    return _begin(plan, snakemake) if snakemake.is_main_process else _go_on(plan)


def _begin(plan: Plan, snakemake: Any) -> Workflow:
    """Return the workflow as the user's Snakemake sees it."""
    write_plan(plan)
    missing = without_record(plan, plan.runs)
    left = left_over(plan, missing)
    left.write(plan.folder / "left-over.json")
    (plan.folder / "left-over.done").unlink(missing_ok=True)
    return Workflow(plan, Requests(plan, lambda: longest(snakemake)), missing, left)


def _go_on(plan: Plan) -> Workflow:
    """Return the workflow as a job's Snakemake sees it.

    The warning before a time limit goes to every process of a job. The run must have the time to write
    its checkpoint, so Snakemake and its shell let the signal pass.
    """
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    return Workflow(plan)


def without_record(plan: Plan, runs: list[Run]) -> list[Run]:
    """Return those of ``runs`` that have no record; broken records are set aside."""
    missing = []
    for run in runs:
        folder = RunFolder(plan.run_folder(run))
        if folder.set_broken_aside():
            print(
                f"{folder.result_path} was broken and is set aside; the run counts as missing",
                file=sys.stderr,
            )
        if not folder.result_path.exists():
            missing.append(run)
    return missing


def _must_know(config: dict[str, Any]) -> None:
    if strange := [key for key in config if key != HERE]:
        raise HarnessError(
            f"--config: {unknown('key', strange[0], [HERE])}; an experiment's values stand in its file"
        )


def _plan(config_files: list[Any]) -> Plan:
    if len(config_files) > 1:
        names = ", ".join(map(str, config_files))
        raise HarnessError(f"--configfile: one experiment at a time, got {names}")
    return make_plan(Path(config_files[0]) if config_files else Path(shown(DEFAULT)))
