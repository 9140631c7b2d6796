"""What is told before the first job, and what keeps jobs from being sent in vain."""

import getpass
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cluster.partitions import TRAINING, partitions
from harness.errors import HarnessError, MistakesError, unknown
from harness.runs import slurm

if TYPE_CHECKING:
    from harness.plan.workflow import Workflow

CLIENTS = ("sbatch", "squeue", "sinfo", "scancel")
PROFILE = "the profile (workflow/profiles/slurm/config.yaml)"


def start(snakemake: Any, workflow: "Workflow") -> None:
    """Tell executor, partition, account, runs and hours; refuse what cannot go well.

    Raises:
        WorkflowError: everything that is wrong, together; no job was sent.
    """
    from snakemake.exceptions import WorkflowError

    jobs = [job for job in snakemake.dag.needrun_jobs() if job.rule.name in TRAINING]
    if not jobs or not snakemake.is_main_process:
        return
    executor = snakemake.executor_plugin.name
    asked = [_asked(job) for job in jobs]
    print("\n".join(_lines(executor, workflow, asked)), flush=True)
    try:
        if snakemake.local_exec:
            _must_be_meant(snakemake, workflow)
        elif executor == "slurm":
            check(asked, workflow.plan.experiment.device, Path(snakemake.executor_settings.logdir or "."))
    except HarnessError as error:
        raise WorkflowError(str(error)) from None


def _asked(job: Any) -> dict[str, Any]:
    """Return what a job asks for, ``cpus`` included."""
    return {**{name: value for name, value in job.resources.items() if value}, "cpus": job.threads}


def _lines(executor: str, workflow: "Workflow", asked: list[dict[str, Any]]) -> list[str]:
    """Return what is about to happen, a fact a line."""
    missing, left = workflow.missing, workflow.left
    hours = [workflow.requests.hours(run.cell) for run in missing]
    unknown_hours = sum(h is None for h in hours)
    untold = f", and nothing is known of {unknown_hours} runs" if unknown_hours else ""
    total, longest = len(workflow.plan.runs), max(one.get("runtime", 0) for one in asked)
    lines = [
        f"executor:   {executor}",
        f"runs:       {len(missing)} to do of {total}, in {len(asked)} jobs of at most {longest} minutes",
        f"GPU-hours:  about {sum(h or 0 for h in hours):.1f} (estimated){untold}",
    ]
    if executor == "slurm":
        names = (_names(asked, "slurm_partition", "the default one"), _names(asked, "slurm_account", "none"))
        lines[1:1] = [f"partition:  {names[0]}", f"account:    {names[1]}"]
    if left.runs:
        jobs = f" in SLURM jobs {', '.join(sorted(left.jobs))}" if left.jobs else ""
        lines.append(f"at work:    {len(left.runs)} of them, left by an earlier snakemake{jobs}: waited for")
    return lines


def _names(asked: list[dict[str, Any]], resource: str, absent: str) -> str:
    return ", ".join(sorted({str(one.get(resource, absent)) for one in asked}))


def _must_be_meant(snakemake: Any, workflow: "Workflow") -> None:
    """Refuse to train on this machine what is meant for a cluster, unless one insists."""
    from harness.plan.workflow import HERE

    insists = str(snakemake.config_settings.config.get(HERE, "")).lower() in ("yes", "true")
    if workflow.plan.experiment.cluster and not insists:
        raise HarnessError(
            f"{workflow.file} is meant for a cluster (cluster: true), but no executor is named, and "
            f"{len(workflow.missing)} runs would be trained on this machine. On a cluster type: snakemake "
            f"--profile slurm. If this machine is meant, say so: --config {HERE}=yes"
        )


def check(asked: list[dict[str, Any]], device: str, logs: Path) -> None:
    """Check what jobs ask of SLURM before any is sent.

    Raises:
        MistakesError: all that is wrong.
    """
    mistakes = [*_clients(), *_logs(logs), *_gpus(asked, device)]
    if not mistakes:
        mistakes = _partitions(asked) + _accounts(asked)
    if not mistakes:
        mistakes = _refusals(asked)
    if mistakes:
        raise MistakesError(mistakes)


def _clients() -> list[str]:
    if absent := [name for name in CLIENTS if shutil.which(name) is None]:
        return [f"SLURM: no {', '.join(absent)} on PATH; start snakemake on a login node of the cluster"]
    if partitions() is None:
        return ["SLURM does not answer (sinfo); is this a login node of the cluster?"]
    return []


def _logs(folder: Path) -> list[str]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            return []
    except OSError as error:
        return [f"{folder}: logs cannot be written there ({error.strerror}); slurm-logdir in {PROFILE}"]


def _gpus(asked: list[dict[str, Any]], device: str) -> list[str]:
    """Training jobs ask for a GPU, unless the experiment says that it wants none."""
    without = [one for one in asked if not (one.get("gpu") or "gpu" in str(one.get("gres", "")))]
    if device == "cpu" or not without:
        return []
    return [
        f"{len(without)} training jobs ask for no GPU, and the experiment says device: {device}; add to "
        f"set-resources in {PROFILE}: gres: \"'gpu:1'\", or say device: cpu in the experiment"
    ]


def _partitions(asked: list[dict[str, Any]]) -> list[str]:
    names = {part for one in asked for part in str(one.get("slurm_partition", "")).split(",") if part}
    known = partitions() or {}
    return [unknown("partition", name, known) for name in sorted(names - set(known))]


def _accounts(asked: list[dict[str, Any]]) -> list[str]:
    answer = slurm.ask(
        "sacctmgr", "--noheader", "--parsable2", "show", "associations", f"user={getpass.getuser()}",
        "format=account",
    )  # fmt: skip
    known = set((answer or "").split())
    names = {str(one["slurm_account"]) for one in asked if one.get("slurm_account")}
    return [unknown("account", name, known) for name in sorted(names - known)] if known else []


def _refusals(asked: list[dict[str, Any]]) -> list[str]:
    """Let SLURM itself judge one job of each kind, the longest and largest, without sending it."""
    kinds: dict[tuple[str, ...], dict[str, Any]] = {}
    for one in asked:
        kind = tuple(str(one.get(name, "")) for name in ("slurm_partition", "slurm_account", "gres", "cpus"))
        have = kinds.setdefault(kind, dict(one))
        for name in ("runtime", "mem_mb"):
            have[name] = max(have.get(name, 0), one.get(name, 0))
    return [told for one in kinds.values() if (told := _refusal(one))]


def _refusal(one: dict[str, Any]) -> str | None:
    options = {
        "slurm_account": "--account", "slurm_partition": "--partition", "gres": "--gres", "gpu": "--gpus",
        "runtime": "--time", "mem_mb": "--mem", "cpus": "--cpus-per-task",
    }  # fmt: skip
    given = [f"{option}={one[name]}" for name, option in options.items() if one.get(name)]
    told = slurm.refusal("sbatch", "--test-only", *given, "--wrap=true")
    return f"SLURM would refuse a job with {' '.join(given)}: {told}" if told else None
