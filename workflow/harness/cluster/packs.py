"""Packs: runs of one task and model that share a process and a job, so that start-up is paid once.

A pack's file lists its runs; its stamp, the only output that Snakemake knows of, says that all of them
are there. No record is an output of a pack's job, so a failing run takes no other's record along.
"""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError
from harness.plan.grid import Run
from harness.plan.keys import digest
from harness.plan.plan import Plan
from harness.runs.atomic import write_text


@dataclass(frozen=True)
class Pack:
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
        """What is there when all its runs are."""
        return self.folder / f"{self.name}.done"


def packs_of(plan: Plan, runs: list[Run]) -> list[Pack]:
    """Return ``runs`` in packs of ``runs_per_job``, each of one task and model."""
    places: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in runs:
        places[run.cell.task_name, run.cell.model_name].append(run)
    size = plan.experiment.runs_per_job
    return [
        Pack(plan.folder / "packs" / task / model, found[first : first + size])
        for (task, model), found in places.items()
        for first in range(0, len(found), size)
    ]


def write_packs(packs: list[Pack]) -> None:
    """Write the lists; a stamp from an earlier time is removed, for its runs are not there now."""
    for pack in packs:
        pack.stamp.unlink(missing_ok=True)
        text = json.dumps([str(run.folder) for run in pack.runs], indent=1) + "\n"
        if not pack.file.is_file() or pack.file.read_text(encoding="utf-8") != text:
            write_text(pack.file, text)


def read_pack(plan: Plan, file: Path) -> list[Run]:
    """Return the runs that a pack's file lists.

    Raises:
        HarnessError: there is no such file, or the plan has other runs since.
    """
    if not file.is_file():
        raise HarnessError(f"{file}: there is no such file")
    runs = {str(run.folder): run for run in plan.runs}
    names: list[str] = json.loads(file.read_text(encoding="utf-8"))
    if strange := [name for name in names if name not in runs]:
        raise HarnessError(
            f"{file}: {strange[0]} is not in the plan: configuration or method changed since; "
            "plan again (start snakemake again)"
        )
    return [runs[name] for name in names]
