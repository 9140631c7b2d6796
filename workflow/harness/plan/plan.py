"""The plan of an experiment, written to ``results/<experiment>/plan.json`` for the Snakefile and for jobs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.config.experiment import Experiment, load_experiment
from harness.config.locations import Locations, suggest
from harness.config.plan_file import (
    PlanFile,
    PlannedCell,
    PlannedCost,
    PlannedModel,
    PlannedRun,
    PlannedSearch,
    PlannedTask,
    planned_file,
)
from harness.config.tuned import read_records, records_path
from harness.config.yaml_loader import read_yaml
from harness.plan.cost import cost_of
from harness.plan.grid import Cell, Run, runs
from harness.plan.resolve import resolve
from harness.plan.searches import ledger_of
from harness.plan.study import Study
from harness.util.errors import HarnessError
from harness.util.files import write_text
from harness.util.paths import RESULTS, display_path


@dataclass(frozen=True)
class Plan:
    """A resolved experiment: its cells, runs and studies, and the paths of its files."""

    file: Path
    experiment: Experiment
    cells: list[Cell]
    runs: list[Run]
    results: Path = RESULTS
    searched: Mapping[str, Study] = field(default_factory=dict)
    """Studies by name."""
    shared_cache: Path | None = None
    """Cache of another results folder, if this one has none of its own."""

    @property
    def folder(self) -> Path:
        """``results/<experiment>``."""
        return self.results / self.experiment.name

    def run_folder(self, run: Run) -> Path:
        """Return the run folder of ``run``."""
        return self.folder / "runs" / run.folder

    def study_of(self, cell: Cell) -> Study | None:
        """Return the study that provides the arguments of ``cell``, or None."""
        return None if cell.study is None else self.searched[cell.study]

    def studies(self, waiting: bool = False) -> list[Study]:
        """Return the studies that provide arguments; if ``waiting``, only the unfinished ones."""
        names = [c.study for c in self.cells if c.study and (c.awaits_tuning or not waiting)]
        return [self.searched[name] for name in dict.fromkeys(names)]

    def tuned_file(self, study: Study) -> Path:
        """Return the path of the tuned file of a study."""
        return self.folder / "tuned" / study.file

    def tokens_folder(self, cell: Cell) -> Path:
        """Return the folder with the token ids of ``cell``, which all experiments share."""
        return self.cache / "tokens" / cell.task_name / f"{cell.model_name}-{cell.tokens_key}"

    @property
    def cache(self) -> Path:
        """``results/cache``: fetched data and models, and token ids, shared by all experiments."""
        return self.shared_cache or self.results / "cache"

    @property
    def fetched_data(self) -> Path:
        """Folder into which ``fetch`` writes rows, in the layout of a data root."""
        return self.cache / "data"

    @property
    def fetched_models(self) -> Path:
        """Folder into which ``fetch`` writes models, one folder per model."""
        return self.cache / "models"

    def unfetched(self) -> list[str]:
        """Return the tasks and models with unknown hashes, as ``task qnli`` and ``model roberta-large``."""
        tasks = {f"task {c.task_name}": None for c in self.cells if c.task.unknown_parts()}
        models = {f"model {c.model_name}": None for c in self.cells if not c.model.known}
        return [*tasks, *models]

    def fetch_command(self) -> str:
        """Return the command that fetches everything that the plan needs."""
        if self.file.suffix:
            return suggest("fetch", display_path(self.file), locations=Locations(results=self.results))
        experiment = self.experiment
        tasks = [word for task in experiment.tasks for word in ("--task", task)]
        models = [word for model in experiment.models for word in ("--model", model.replace("--", "/"))]
        locations = Locations(experiment.data_root, tuple(experiment.tasks_dirs), results=self.results)
        return suggest("fetch", *tasks, *models, locations=locations)

    def must_be_fetched(self) -> str | None:
        """Return one line with what is not fetched and the command to type, or None if all is fetched."""
        missing = self.unfetched()
        if not missing:
            return None
        return f"not fetched: {', '.join(missing)}; type first: {self.fetch_command()}"

    def as_file(self) -> PlanFile:
        """Return the content of plan.json."""
        return PlanFile(
            experiment=self.experiment,
            file=display_path(self.file),
            tasks={
                cell.task_name: PlannedTask(
                    title=cell.task.title,
                    primary_metric=cell.task.primary_metric,
                    report=cell.task.report,
                    metrics=cell.task.metrics,
                    chance=cell.task.chance(),
                )
                for cell in self.cells
            },
            models={
                cell.model_name: PlannedModel(title=cell.model.title, contamination=cell.model.contamination)
                for cell in self.cells
            },
            cells={cell.name: self._planned_cell(cell) for cell in self.cells},
            runs=[
                PlannedRun(
                    name=run.name,
                    cell=run.cell.name,
                    seed=run.seed,
                    key=run.key,
                    folder=str(self.run_folder(run)),
                )
                for run in self.runs
            ],
        )

    def _planned_cell(self, cell: Cell) -> PlannedCell:
        cost = cost_of(cell, self.experiment.gpu_tflops)
        return PlannedCell(
            task=cell.task_name,
            model=cell.model_name,
            variant=cell.variant,
            method=cell.method.name,
            arguments=cell.method.arguments.model_dump(),
            protocol=cell.protocol,
            identity=cell.identity,
            fetched=cell.fetched,
            tokens=str(self.tokens_folder(cell)),
            tuning=self._planned_search(cell),
            cost=PlannedCost(
                **(cost.training.as_dict() if cost.training else {}),
                evaluation_examples=cost.evaluation,
                forward_equivalents=cost.forward_equivalents,
                gpu_hours=cost.gpu_hours,
            ),
        )

    def _planned_search(self, cell: Cell) -> PlannedSearch | None:
        """Return the study of a cell as plan.json describes it, or None if the cell has none."""
        study = self.study_of(cell)
        if study is None:
            return None
        records = records_path(self.tuned_file(study))
        base = next(c for c in study.cells if c.task_name == cell.task_name)
        place = (cell.task_name, cell.model_name)
        defaults = [
            c.variant
            for c in self.cells
            if (c.task_name, c.model_name) == place and c.identity == base.identity
        ]
        return PlannedSearch(
            study=study.hash,
            name=study.name,
            file=str(self.tuned_file(study)),
            awaits_tuning=cell.awaits_tuning,
            budget=study.tuning.budget,
            defaults=defaults[0] if defaults else None,
            ledger=None if cell.awaits_tuning or not records.is_file() else ledger_of(read_records(records)),
        )


def make_plan(file: Path, results: Path = RESULTS) -> Plan:
    """Return the plan of the experiment in ``file``.

    Raises:
        HarnessError: the file cannot be read, or another file has the same name.
        ConfigErrors: all errors of the experiment.
    """
    experiment = load_experiment(file)
    check_name(experiment.name, file, results)
    return plan_of(experiment, file, results)


def check_name(name: str, file: Path, results: Path) -> None:
    """Check that the results of the experiment ``name`` belong to ``file``.

    Raises:
        HarnessError: plan.json was made from another file that still has this name and other content.
    """
    folder, file = results / name, file.resolve()
    other = planned_file(folder / "plan.json")
    if other is None or not other.is_file() or other.resolve() == file:
        return
    if file.is_relative_to(folder.resolve()):  # the copy in a bundle of these results
        return
    content = read_yaml(other)
    if content.get("name") == name and content != read_yaml(file):
        raise HarnessError(
            f"{display_path(file)}: name: {name} is taken: {display_path(folder)} has the results of "
            f"{display_path(other)}; give one of the two files another name"
        )


def plan_of(experiment: Experiment, file: Path, results: Path = RESULTS) -> Plan:
    """Return the plan of an experiment that was read from ``file``.

    Raises:
        ConfigErrors: all errors of the experiment.
    """
    cells, studies = resolve(experiment, file, results)
    return Plan(file, experiment, cells, runs(cells, experiment.seeds), results, studies)


def write_plan(plan: Plan) -> Path:
    """Write plan.json if its content has changed; return its path.

    An unchanged file keeps its modification time, from which other steps see whether the plan is new.
    """
    path = plan.folder / "plan.json"
    text = plan.as_file().model_dump_json(indent=1) + "\n"
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)
    return path
