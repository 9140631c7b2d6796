"""Checks before the first job, and a summary of what is about to happen."""

import getpass
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.snakemake.partitions import TRAINING, partitions
from harness.util import slurm
from harness.util.errors import ConfigErrors, HarnessError, unknown

if TYPE_CHECKING:
    from harness.snakemake.workflow import Workflow

CLIENTS = ("sbatch", "squeue", "sinfo", "scancel")
PROFILE = "the profile (profiles/slurm/config.yaml)"
OPTIONS = {
    "slurm_account": "--account", "slurm_partition": "--partition", "gres": "--gres", "gpu": "--gpus",
    "runtime": "--time", "mem_mb": "--mem", "cpus": "--cpus-per-task",
}  # fmt: skip
"""Resource of a job to the option of sbatch."""


@dataclass(frozen=True)
class JobRequest:
    """The resources that a training job requests; empty or 0: not requested."""

    cpus: int
    runtime: int = 0
    """Minutes."""
    mem_mb: int = 0
    gpu: int = 0
    gres: str = ""
    slurm_partition: str = ""
    slurm_account: str = ""

    @classmethod
    def of(cls, job: Any) -> "JobRequest":
        """Return the request of a Snakemake job."""
        names = cls.__dataclass_fields__.keys() - {"cpus"}
        values = {name: job.resources.get(name) for name in names}
        return cls(cpus=job.threads, **{name: value for name, value in values.items() if value})

    @property
    def has_gpu(self) -> bool:
        """Whether a GPU is requested."""
        return bool(self.gpu) or "gpu" in self.gres


def preflight(snakemake: Any, workflow: "Workflow") -> None:
    """Print executor, partition, account, runs and hours; check what would fail.

    Raises:
        WorkflowError: all errors together; no job was submitted.
    """
    from snakemake.exceptions import WorkflowError

    jobs = [job for job in snakemake.dag.needrun_jobs() if job.rule.name in TRAINING]
    if not jobs or not snakemake.is_main_process:
        return
    executor = snakemake.executor_plugin.name
    requests = [JobRequest.of(job) for job in jobs]
    print("\n".join(_summary(executor, workflow, requests)), flush=True)
    try:
        if snakemake.local_exec:
            _check_local(snakemake, workflow)
        elif executor == "slurm":
            logs = Path(snakemake.executor_settings.logdir or ".")
            check(requests, workflow.plan.experiment.device, logs)
    except HarnessError as error:
        raise WorkflowError(str(error)) from None


def _summary(executor: str, workflow: "Workflow", requests: list[JobRequest]) -> list[str]:
    """Return the lines of the summary."""
    missing, orphans, experiment = workflow.missing, workflow.orphans, workflow.plan.experiment
    hours = [workflow.resources.hours(run.cell) for run in missing]
    total, longest = len(workflow.plan.runs), max(request.runtime for request in requests)
    unit = f"core-hours on {experiment.threads} CPU threads" if experiment.device == "cpu" else "GPU-hours"
    unknown_runs = f", without {hours.count(None)} runs of unknown cost" if None in hours else ""
    lines = [
        f"executor:       {executor}",
        f"runs:           {len(missing)} to do of {total}, {len(requests)} jobs of up to {longest} minutes",
        f"estimated cost: {sum(h or 0 for h in hours):.1f} {unit}{unknown_runs}",
    ]
    if executor == "slurm":
        partition = _names(request.slurm_partition or "the default one" for request in requests)
        account = _names(request.slurm_account or "none" for request in requests)
        lines[1:1] = [f"partition:      {partition}", f"account:        {account}"]
    if orphans.runs:
        jobs = f" in SLURM jobs {', '.join(sorted(orphans.jobs))}" if orphans.jobs else ""
        lines.append(
            f"in work:        {len(orphans.runs)} of them, left by an earlier snakemake{jobs}; waiting"
        )
    return lines


def _names(names: Any) -> str:
    return ", ".join(sorted(set(names)))


def _check_local(snakemake: Any, workflow: "Workflow") -> None:
    """Refuse to train an experiment for a cluster on this machine, unless the user insists."""
    from harness.snakemake.workflow import HERE

    insists = str(snakemake.config_settings.config.get(HERE, "")).lower() in ("yes", "true")
    if workflow.plan.experiment.cluster and not insists:
        raise HarnessError(
            f"{workflow.file} is meant for a cluster (cluster: true), but no executor is given, so "
            f"{len(workflow.missing)} runs would be trained on this machine. On a cluster, type: snakemake "
            f"--profile slurm. To train here, add: --config {HERE}=yes"
        )


def check(requests: list[JobRequest], device: str, logs: Path) -> None:
    """Check the requests of jobs before any is submitted; ``logs`` is the folder of SLURM's logs.

    Raises:
        ConfigErrors: all errors.
    """
    errors = [*_client_errors(), *_log_errors(logs), *_gpu_errors(requests, device)]
    if not errors:
        errors = _partition_errors(requests) + _account_errors(requests)
    if not errors:
        errors = _refusals(requests)
    if errors:
        raise ConfigErrors(errors)


def _client_errors() -> list[str]:
    if missing := [name for name in CLIENTS if shutil.which(name) is None]:
        return [f"SLURM: no {', '.join(missing)} on PATH; start snakemake on a login node of the cluster"]
    if partitions() is None:
        return ["SLURM does not respond (sinfo); is this a login node of the cluster?"]
    return []


def _log_errors(folder: Path) -> list[str]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            return []
    except OSError as error:
        return [f"{folder}: logs cannot be written there ({error.strerror}); see slurm-logdir in {PROFILE}"]


def _gpu_errors(requests: list[JobRequest], device: str) -> list[str]:
    """Training jobs need a GPU, unless the experiment has ``device: cpu``."""
    without = sum(not request.has_gpu for request in requests)
    if device == "cpu" or not without:
        return []
    return [
        f"{without} training jobs request no GPU, but the experiment has device: {device}; add to "
        f"set-resources in {PROFILE}: gres: \"'gpu:1'\", or set device: cpu in the experiment"
    ]


def _partition_errors(requests: list[JobRequest]) -> list[str]:
    names = {name for request in requests for name in request.slurm_partition.split(",") if name}
    valid = partitions() or {}
    return [unknown("partition", name, valid) for name in sorted(names - set(valid))]


def _account_errors(requests: list[JobRequest]) -> list[str]:
    output = slurm.ask(
        "sacctmgr", "--noheader", "--parsable2", "show", "associations", f"user={getpass.getuser()}",
        "format=account",
    )  # fmt: skip
    valid = set((output or "").split())
    names = {request.slurm_account for request in requests if request.slurm_account}
    return [unknown("account", name, valid) for name in sorted(names - valid)] if valid else []


def _refusals(requests: list[JobRequest]) -> list[str]:
    """Let SLURM test one job of each kind, the longest and largest, without submitting it."""
    kinds: dict[tuple[object, ...], list[JobRequest]] = {}
    for request in requests:
        kind = (request.slurm_partition, request.slurm_account, request.gres, request.gpu, request.cpus)
        kinds.setdefault(kind, []).append(request)
    errors = []
    for group in kinds.values():
        largest = asdict(group[0]) | {
            name: max(getattr(r, name) for r in group) for name in ("runtime", "mem_mb")
        }
        options = [f"{option}={largest[name]}" for name, option in OPTIONS.items() if largest[name]]
        refusal = slurm.refusal("sbatch", "--test-only", *options, "--wrap=true")
        if refusal:
            errors.append(f"SLURM would refuse a job with {' '.join(options)}: {refusal}")
    return errors
