"""SLURM's partitions and their time limits."""

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from harness.util import slurm

TRAINING = ("train", "train_pack", "search")
"""Rules whose jobs train."""


@dataclass(frozen=True)
class Partition:
    """One partition."""

    name: str
    minutes: int | None
    """Time limit of a job, or None."""
    default: bool


@cache
def partitions() -> dict[str, Partition] | None:
    """Return all partitions by name, or None if SLURM does not respond."""
    output = slurm.ask("sinfo", "--noheader", "--format=%P|%l")
    if output is None:
        return None
    by_name = {}
    for line in output.splitlines():
        marked, _, limit = line.partition("|")
        name = marked.removesuffix("*")
        by_name[name] = Partition(name, minutes(limit), default=name != marked)
    return by_name


def minutes(limit: str) -> int | None:
    """Return SLURM's ``[days-]hours:minutes:seconds`` in minutes, or None for ``infinite``."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", limit.strip())
    if match is None:
        return None
    days, hours, mins, _ = (int(part or 0) for part in match.groups())
    return (24 * days + hours) * 60 + mins


def time_limit(snakemake: Any) -> int | None:
    """Return the time limit of training jobs in their partition in minutes, or None if it is unknown."""
    name = _resource(snakemake, "slurm_partition")
    known = (partitions() or {}).values()
    return next((p.minutes for p in known if p.name == name or (name is None and p.default)), None)


def _resource(snakemake: Any, name: str) -> str | None:
    """Return a resource of the training rules from the profile or the command line."""
    settings = snakemake.resource_settings
    for rule in TRAINING:
        for resources in (settings.overwrite_resources.get(rule, {}), settings.default_resources or {}):
            if name in resources:
                return str(resources[name].raw).strip("'\"")
    return None
