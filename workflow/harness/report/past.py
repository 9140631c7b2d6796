"""What run folders of the past tell of a plan: what is superseded and why, and how long the rest takes."""

from collections import defaultdict
from pathlib import Path
from statistics import fmean

from harness.errors import HarnessError
from harness.plan.cost import forward_equivalents, training_passes
from harness.plan.grid import Run
from harness.plan.plan import Plan
from harness.plan.yamlfile import read_yaml
from harness.report.digest import failure
from harness.report.explain import asked, differences
from harness.runs.folder import RunFolder

LIMIT_HOURS = 24.0
CHANGED = "data, model or code changed"
Rates = dict[tuple[str, ...], float]
"""Seconds an example takes in one pass, by (task, model, variant) and by (task, model)."""


def superseded(plan: Plan) -> dict[Path, str]:
    """Return the run folders that the plan no longer asks for, and why."""
    wanted = {plan.run_folder(run): run for run in plan.runs}
    cells = {run.cell.name: run for run in plan.runs}
    found = {}
    for path in sorted((plan.folder / "runs").glob("*/*/*/seed*")):
        if path not in wanted:
            run = cells.get("/".join(path.parts[-4:-1]))
            found[path] = _why(plan, run, path)
    return found


def _why(plan: Plan, run: Run | None, path: Path) -> str:
    if run is None:
        return "task, model or variant is no longer in the experiment"
    config = RunFolder(path).config_path
    if not config.is_file():
        return CHANGED
    seed = path.name.partition("-")[0].removeprefix("seed")
    if seed not in map(str, plan.experiment.seeds):
        return f"seed {seed} is no longer in the experiment"
    return "; ".join(differences(read_yaml(config), asked(run.cell))) or CHANGED


def why_to_do(plan: Plan, run: Run, old: dict[Path, str]) -> str:
    """Return why a run without a result has none; ``old`` is what ``superseded`` returned."""
    folder = plan.run_folder(run)
    reason = failure(RunFolder(folder))
    if reason is not None:
        return f"failed: {reason}"
    before = [
        why for path, why in old.items() if path.parent == folder.parent and _seed(path) == _seed(folder)
    ]
    return f"changed: {before[-1]}" if before else "new"


def _seed(path: Path) -> str:
    return path.name.partition("-")[0]


def rates(results: Path) -> Rates:
    """Return how fast the finished runs of every experiment below ``results`` went."""
    found: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for path in sorted(results.glob("*/runs/*/*/*/seed*/result.json")):
        result = RunFolder(path.parent).result()
        if result is None or result.cost.forward_passes == 0:
            continue
        cost = result.cost
        passes = cost.forward_passes + 2 * cost.backward_passes + cost.input_backward_passes
        size = cost.examples / cost.forward_passes
        rate = (cost.train_seconds + cost.evaluation_seconds) / (passes * size)
        found[result.task, result.model, result.variant].append(rate)
        found[result.task, result.model].append(rate)
    return {key: fmean(values) for key, values in found.items()}


def hours(runs: list[Run], known: Rates) -> tuple[float, int]:
    """Return the hours that runs will take one after the other, and of how many nothing is known."""
    total, unknown = 0.0, 0
    for run in runs:
        cell = run.cell
        place = (cell.task_name, cell.model_name)
        rate, passes = known.get((*place, cell.variant), known.get(place)), training_passes(cell)
        if rate is None or passes is None:
            unknown += 1
        else:
            total += rate * forward_equivalents(passes) * cell.protocol.batch_size
    return total / 3600, unknown


def hours_told(needed: float, unknown: int, runs: int) -> str:
    """Return the hours that ``hours`` gave for ``runs`` in words."""
    if unknown == runs:
        return "no past run tells how long they take" if runs else "nothing to do"
    rest = f"; nothing is known of {unknown} runs" if unknown else ""
    return f"by past runs about {needed:.1f} hours, one after the other{rest}"


def must_be_within(limit: float, needed: float, runs: int) -> None:
    """Ask for a flag before much is started.

    Raises:
        HarnessError: the hours exceed the limit.
    """
    if needed > limit:
        raise HarnessError(
            f"{runs} runs to do take about {needed:.0f} hours, more than {limit:.0f}; "
            f"if that is meant, say so: --limit {int(needed) + 1}"
        )
