"""Orphans: runs and jobs that an earlier Snakemake left running when it was killed. They are waited for."""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.plan.grid import Run
from harness.plan.plan import Plan
from harness.util import slurm
from harness.util.files import write_text
from harness.util.holder import HEARTBEAT_SECONDS
from harness.util.lock import holders_of

ORPHANS = "orphans"
"""Stem of the file that lists them, and of the stamp that says that they have ended."""


@dataclass(frozen=True)
class Orphans:
    """Runs that are being trained, or whose job is in SLURM's queue."""

    runs: frozenset[str] = frozenset()
    """Their folders."""
    jobs: frozenset[str] = frozenset()
    """Numbers of their SLURM jobs."""

    def write(self, path: Path) -> None:
        """Write both lists."""
        write_text(path, json.dumps({"runs": sorted(self.runs), "jobs": sorted(self.jobs)}, indent=1) + "\n")


def find_orphans(plan: Plan, missing: list[Run]) -> Orphans:
    """Return which of the ``missing`` runs are in work, by their locks and by SLURM's queue."""
    holders = holders_of(plan.run_folder(run) for run in missing)
    runs = {str(folder) for folder in holders}
    jobs = {holder.slurm_job for holder in holders.values() if holder and holder.slurm_job}
    here, by_folder = Path.cwd(), {str(run.folder): run for run in missing}
    for job in slurm.my_jobs():
        if job.folder == here:
            names = _runs_of(plan, job.comment.strip(), by_folder)
            folders = [str(plan.run_folder(by_folder[name])) for name in names if name in by_folder]
            runs.update(folders)
            jobs.update({job.number} if folders else set())
    return Orphans(frozenset(runs), frozenset(jobs))


def _runs_of(plan: Plan, comment: str, names: Iterable[str]) -> list[str]:
    """Return the folders of the runs of a job. Snakemake's executor comments it with rule and wildcards."""
    rule, _, wildcards = comment.removeprefix("rule_").partition("_wildcards_")
    if rule == "train":
        return [name for name in names if name.replace("/", "_") == wildcards]
    if rule == "train_pack":
        files = (plan.folder / "packs").glob(f"*/*/{wildcards.rpartition('_')[2]}.json")
        return [name for file in files for name in json.loads(file.read_text(encoding="utf-8"))]
    return []


def wait_for_orphans(path: Path) -> None:
    """Return when none of the runs and jobs in the file ``path`` is running or queued any more."""
    content = json.loads(path.read_text(encoding="utf-8"))
    folders, jobs = [Path(name) for name in content["runs"]], set(content["jobs"])
    while any(job.number in jobs for job in slurm.my_jobs()) or holders_of(folders):
        time.sleep(HEARTBEAT_SECONDS)
