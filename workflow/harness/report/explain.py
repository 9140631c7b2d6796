"""The origin of a table cell: its runs, their configuration, and the code that trained them."""

from collections.abc import Iterator

from harness.config import catalogue
from harness.config.experiment import DEFAULT
from harness.config.tuned import read_tuned
from harness.plan.grid import Cell, Run
from harness.plan.plan import Plan
from harness.runs.failures import unfinished
from harness.runs.folder import RunFolder
from harness.runs.history import (
    CHANGED,
    CellConfig,
    config_of_cell,
    config_of_folder,
    differences,
)
from harness.runs.provenance import commit_text
from harness.util.paths import display_path


def explanation(plan: Plan, cell: Cell) -> str:
    """Return the origin of one cell as text."""
    runs = [run for run in plan.runs if run.cell is cell]
    lines = [f"{cell.name} in {plan.experiment.name}", ""]
    for run in runs:
        lines += [*_run(plan, run), ""]
    lines += [*_configuration(plan, cell), "", *_superseded(plan, runs)]
    lines.append(_study(plan, cell))
    return "\n".join(lines) + "\n"


def _study(plan: Plan, cell: Cell) -> str:
    """Return the study that provides the arguments, or their other source."""
    study, source = plan.study_of(cell), plan.experiment.source(cell.variant)
    if study is None:
        origin = "config/variants.yaml and the experiment" if source == DEFAULT else source
        return f"study: none; the arguments are those of {origin}"
    text = f"study: {study.hash[:8]}, {display_path(plan.tuned_file(study))}"
    if cell.awaits_tuning:
        return f"{text}: not finished; the arguments above are the defaults"
    tuned = read_tuned(plan.tuned_file(study))
    best, commit = tuned.selection, tuned.commit or "unknown"
    defaults = "failed" if best["defaults"] is None else f"{best['defaults']:.4f}"
    return (
        f"{text}: trial {best['trial']} of {tuned.search['trials']}, {best['score']:.4f} on the selection "
        f"split (defaults {defaults}), trained at commit {commit}"
    )


def _run(plan: Plan, run: Run) -> Iterator[str]:
    """Yield the lines about one run."""
    folder = RunFolder(plan.run_folder(run))
    result = folder.result()
    if result is None:
        state = unfinished(folder)
        yield f"seed {run.seed}  {'missing' if state is None else state.text}  key {run.key[:8]}"
        return
    scores = [f"{s} {m} {v:.4f}" for s, metrics in result.metrics.items() for m, v in metrics.items()]
    yield f"seed {run.seed}  {result.status}  {', '.join(scores) or 'no scores'}  key {run.key[:8]}"
    yield f"  folder      {folder.path}"
    yield f"  commit      {_commit(folder)}"
    yield f"  hashes      {', '.join(f'{name} {value[:16]}' for name, value in result.hashes.items())}"
    yield f"  selection   {result.selection['rule']}, weights after batch {result.selection['step']}"
    flags = {k: v for k, v in result.flags.items() if k in ("reason", "subset", "contamination") and v}
    if flags:
        yield f"  flags       {', '.join(f'{k}: {v}' for k, v in flags.items())}"
    trained = config_of_folder(folder)
    if trained is not None and (changed := differences(config_of_cell(run.cell), trained)):
        yield f"  trained as  {'; '.join(changed)}"


def _commit(folder: RunFolder) -> str:
    provenance = folder.provenance()
    diff = provenance.get("diff_sha256")
    clean = ", clean" if provenance.get("dirty") is False else ""
    return commit_text(provenance) + (f" (diff {diff[:16]})" if diff else clean)


def _configuration(plan: Plan, cell: Cell) -> Iterator[str]:
    """Yield the differences from the protocol file, the method's defaults, and other variants."""
    config = config_of_cell(cell)
    protocol = catalogue.protocol(plan.experiment.protocol).model_dump(mode="json", exclude={"rules"})
    defaults = type(cell.method).Arguments().model_dump(mode="json")
    changed = differences(CellConfig({}, protocol), CellConfig({}, config.protocol))
    yield f"protocol {plan.experiment.protocol}: {'; '.join(changed) or 'unchanged'}"
    changed = differences(CellConfig(defaults, {}), CellConfig(config.arguments, {}))
    yield f"method {cell.method.name}, from its defaults: {'; '.join(changed) or 'unchanged'}"
    for other in plan.cells:
        if other is not cell and (other.task_name, other.model_name) == (cell.task_name, cell.model_name):
            theirs = CellConfig({}, config_of_cell(other).protocol)
            changed = differences(theirs, CellConfig({}, config.protocol))
            yield f"protocol of {other.variant}: {'; '.join(changed) or 'the same'}"


def _superseded(plan: Plan, runs: list[Run]) -> Iterator[str]:
    """Yield the run folders of the cell that are not in the plan any more, and the differences."""
    planned = {plan.run_folder(run) for run in runs}
    for path in sorted((plan.folder / "runs" / runs[0].cell.name).glob("seed*")):
        config = config_of_folder(RunFolder(path))
        if path not in planned and config is not None:
            changed = differences(config, config_of_cell(runs[0].cell))
            yield f"superseded: {path}: {'; '.join(changed) or CHANGED}"
