"""Job packs: runs of one task and model that share a process and a job, so that start-up is paid once.

The file of a pack lists its runs. Its stamp, the only output that Snakemake knows, says that all of them have
results. No result is an output of the pack's job, so a failing run does not delete the result of another.
"""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from harness.plan.grid import Run
from harness.plan.plan import Plan
from harness.util.errors import HarnessError
from harness.util.files import write_text
from harness.util.hashing import digest
from harness.util.paths import display_path


@dataclass(frozen=True)
class JobPack:
    """Some runs of one task and model."""

    folder: Path
    """``results/<experiment>/packs/<task>/<model>``."""
    runs: list[Run]

    @property
    def name(self) -> str:
        """``<number of runs>-<hash of their keys>``."""
        return f"{len(self.runs)}-{digest([run.key for run in self.runs])[:8]}"

    @property
    def file(self) -> Path:
        """The list of its runs."""
        return self.folder / f"{self.name}.json"

    @property
    def stamp(self) -> Path:
        """The file that says that all its runs have results."""
        return self.folder / f"{self.name}.done"


def job_packs(plan: Plan, runs: list[Run]) -> list[JobPack]:
    """Return ``runs`` in packs of ``runs_per_job``, each of one task and model."""
    groups: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in runs:
        groups[run.cell.task_name, run.cell.model_name].append(run)
    size = plan.experiment.runs_per_job
    return [
        JobPack(plan.folder / "packs" / task / model, group[start : start + size])
        for (task, model), group in groups.items()
        for start in range(0, len(group), size)
    ]


def write_packs(packs: list[JobPack]) -> None:
    """Write the lists. Delete stamps from earlier, because the runs have no results now."""
    for pack in packs:
        pack.stamp.unlink(missing_ok=True)
        text = json.dumps([str(run.folder) for run in pack.runs], indent=1) + "\n"
        if not pack.file.is_file() or pack.file.read_text(encoding="utf-8") != text:
            write_text(pack.file, text)


def read_pack(plan: Plan, file: Path) -> list[Run]:
    """Return the runs that the file of a pack lists.

    Raises:
        HarnessError: the file is missing, or a run is not in the plan any more.
    """
    if not file.is_file():
        raise HarnessError(f"{display_path(file)}: no such file")
    runs = {str(run.folder): run for run in plan.runs}
    names: list[str] = json.loads(file.read_text(encoding="utf-8"))
    if missing := [name for name in names if name not in runs]:
        raise HarnessError(
            f"{display_path(file)}: {missing[0]} is not in the plan: configuration or method have changed "
            "since; start snakemake again"
        )
    return [runs[name] for name in names]
