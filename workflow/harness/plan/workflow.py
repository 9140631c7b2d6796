"""What the Snakefile asks of a plan: files, and the facts of one run by its folder."""

import signal
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.cluster.left_over import LeftOver, left_over
from harness.cluster.packs import Pack, packs_of, read_pack, write_packs
from harness.cluster.partitions import longest
from harness.cluster.requests import Requests
from harness.errors import HarnessError, unknown
from harness.paths import CONFIG, shown
from harness.plan.grid import Run
from harness.plan.plan import Plan, make_plan, write_plan
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
        self.packs = self._packs()
        root, stamps = plan.experiment.data_root is not None, f"{plan.cache}/fetched"
        self._stamps = {
            (c.task_name, c.model_name): [
                *([f"{stamps}/task-{c.task_name}"] if c.task.from_hub(root) else []),
                *([f"{stamps}/model-{c.model_name}"] if c.model.hub else []),
            ]
            for c in plan.cells
        }
        self.tables = [f"{self.folder}/tables/{name}.{form}" for name in tables_of(facts) for form in FORMS]

    def _packs(self) -> list[Pack]:
        if self.plan.experiment.runs_per_job == 1:
            return []
        free = [run for run in self.missing if str(self.plan.run_folder(run)) not in self.left.runs]
        return packs_of(self.plan, free)

    @cached_property
    def results(self) -> list[str]:
        """What says that every run is there: its record, or the stamp of the pack that makes it."""
        packed = {run.key for pack in self.packs for run in pack.runs}
        single = [f"{folder}/result.json" for folder, run in self.runs.items() if run.key not in packed]
        return [*single, *(str(pack.stamp) for pack in self.packs)]

    def run(self, wildcards: Any) -> Run:
        """Return the run whose folder the wildcards spell."""
        w = wildcards
        return self.runs[f"{self.folder}/runs/{w.task}/{w.model}/{w.variant}/{w.run}"]

    def pack(self, wildcards: Any) -> list[Run]:
        """Return the runs of the pack that the wildcards name."""
        w = wildcards
        return read_pack(self.plan, self.plan.folder / "packs" / w.task / w.model / f"{w.pack}.json")

    def fetched(self, wildcards: Any) -> list[str]:
        """Return the stamps of what must be downloaded before the token ids can be made."""
        w = wildcards
        return self._stamps[(w.task, w.model)]

    def tokens(self, runs: list[Run]) -> list[str]:
        """Return the stamps of the token ids that the runs read."""
        return sorted({f"{self.plan.tokens_folder(run.cell)}/tokens.json" for run in runs})

    def waited(self, wildcards: Any) -> list[str]:
        """Return the stamp that says that nobody works on the run any more, where somebody did."""
        folder = str(self.plan.run_folder(self.run(wildcards)))
        return [f"{self.folder}/left-over.done"] if folder in self.left.runs else []


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
    missing = _missing(plan)
    left = left_over(plan, missing)
    workflow = Workflow(plan, Requests(plan, lambda: longest(snakemake)), missing, left)
    write_packs(workflow.packs)
    left.write(plan.folder / "left-over.json")
    (plan.folder / "left-over.done").unlink(missing_ok=True)
    return workflow


def _go_on(plan: Plan) -> Workflow:
    """Return the workflow as a job's Snakemake sees it.

    The warning before a time limit goes to every process of a job. The run must have the time to write
    its checkpoint, so Snakemake and its shell let the signal pass.
    """
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    return Workflow(plan)


def _missing(plan: Plan) -> list[Run]:
    """Return the runs without a record; broken records are set aside."""
    missing = []
    for run in plan.runs:
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
