"""What an earlier Snakemake left at work when it was killed: it is waited for, not doubled."""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.plan.grid import Run
from harness.plan.plan import Plan
from harness.runs import slurm
from harness.runs.atomic import write_text
from harness.runs.lock import HEARTBEAT_SECONDS, holder_of, is_held


@dataclass(frozen=True)
class LeftOver:
    """Runs at work, or in a job that still waits in SLURM's queue."""

    runs: frozenset[str] = frozenset()
    """Their folders."""
    jobs: frozenset[str] = frozenset()
    """Numbers of SLURM jobs that were submitted for them."""

    def write(self, path: Path) -> None:
        """Write both lists."""
        write_text(path, json.dumps({"runs": sorted(self.runs), "jobs": sorted(self.jobs)}, indent=1) + "\n")


def left_over(plan: Plan, missing: list[Run]) -> LeftOver:
    """Return what works on ``missing`` runs already: by the runs' locks, and by SLURM's queue."""
    runs: set[str] = set()
    jobs: set[str] = set()
    for run in missing:
        holder = holder_of(plan.run_folder(run))
        if holder is not None:
            runs.add(str(plan.run_folder(run)))
            jobs.update([holder["slurm_job"]] if holder.get("slurm_job") else [])
    here, names = Path.cwd(), {str(run.folder): run for run in missing}
    for job in slurm.my_jobs():
        if job.folder == here:
            found = [names[name] for name in _runs_of(plan, job.comment.strip(), names) if name in names]
            runs.update(str(plan.run_folder(run)) for run in found)
            jobs.update({job.number} if found else set())
    return LeftOver(frozenset(runs), frozenset(jobs))


def _runs_of(plan: Plan, comment: str, names: Iterable[str]) -> list[str]:
    """Return the folders of the runs that a job trains: Snakemake's executor comments rule and wildcards."""
    rule, _, wildcards = comment.removeprefix("rule_").partition("_wildcards_")
    if rule == "train":
        return [name for name in names if name.replace("/", "_") == wildcards]
    if rule == "train_pack":
        files = (plan.folder / "packs").glob(f"*/*/{wildcards.rpartition('_')[2]}.json")
        return [name for file in files for name in json.loads(file.read_text(encoding="utf-8"))]
    return []


def wait(path: Path) -> None:
    """Return when nothing of what ``path`` lists works or waits any more."""
    content = json.loads(path.read_text(encoding="utf-8"))
    folders, jobs = [Path(name) for name in content["runs"]], set(content["jobs"])
    while any(job.number in jobs for job in slurm.my_jobs()) or any(map(is_held, folders)):
        time.sleep(HEARTBEAT_SECONDS)
