"""What SLURM says of its partitions."""

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from harness.runs import slurm

TRAINING = ("train", "train_pack", "search")
"""The rules whose jobs train."""


@dataclass(frozen=True)
class Partition:
    """One partition."""

    name: str
    minutes: int | None
    """Longest job, None without a limit."""
    default: bool


@cache
def partitions() -> dict[str, Partition] | None:
    """Return all partitions by name, None where SLURM does not answer."""
    answer = slurm.ask("sinfo", "--noheader", "--format=%P|%l")
    if answer is None:
        return None
    found = {}
    for line in answer.splitlines():
        name, _, limit = line.partition("|")
        plain = name.removesuffix("*")
        found[plain] = Partition(plain, minutes(limit), plain != name)
    return found


def minutes(limit: str) -> int | None:
    """Return SLURM's ``[days-]hours:minutes:seconds`` as whole minutes, None for ``infinite``."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", limit.strip())
    if match is None:
        return None
    days, hours, mins, _ = (int(part or 0) for part in match.groups())
    return (24 * days + hours) * 60 + mins


def longest(snakemake: Any) -> int | None:
    """Return the minutes that a training job can get in its partition, None where nobody says."""
    name = _given(snakemake, "slurm_partition")
    found = (partitions() or {}).values()
    return next((p.minutes for p in found if p.name == name or (name is None and p.default)), None)


def _given(snakemake: Any, resource: str) -> str | None:
    """Return a resource of the training rules as the profile or the command line gives it."""
    settings = snakemake.resource_settings
    for rule in TRAINING:
        for given in (settings.overwrite_resources.get(rule, {}), settings.default_resources or {}):
            if resource in given:
                return str(given[resource].raw).strip("'\"")
    return None
