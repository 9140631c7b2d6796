"""The failed runs of an experiment, grouped by cause, and the command that retries only them."""

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from harness.plan.grid import Run
from harness.plan.plan import Plan
from harness.runs.folder import RunFolder
from harness.runs.run_or_resume import FAILED
from harness.runs.stop import InterruptedRunError
from harness.util.files import write_text
from harness.util.lock import is_held

FAILED_STATUS, INTERRUPTED_STATUS = "failed", "interrupted"
NO_ERROR_LOGGED = "no error logged: killed, out of memory, or node failure"
LISTED = 3
"""Runs that are listed for each cause."""
Failures = dict[str, list[tuple[Run, str]]]
"""Cause to its runs, each with the last line of its log."""


def failed_runs(plan: Plan) -> Failures:
    """Return the runs that were attempted and have no result, by cause."""
    groups: Failures = defaultdict(list)
    for run in plan.runs:
        state = unfinished(RunFolder(plan.run_folder(run)))
        if state is not None and state.status == FAILED_STATUS:
            groups[_cause(state.reason, run)].append((run, state.reason))
    return dict(groups)


@dataclass(frozen=True)
class Unfinished:
    """A run that was attempted and has no result."""

    status: str
    """failed, or interrupted: stopped on request, and resumed by the same command."""
    reason: str

    @property
    def text(self) -> str:
        """``failed: MemoryError``."""
        return f"{self.status}: {self.reason}"


def unfinished(folder: RunFolder) -> Unfinished | None:
    """Return how the last attempt ended; None if the run has a result, is running, or was never attempted."""
    logs = folder.attempt_logs()
    if not logs or folder.result_path.exists() or is_held(folder.path, observe=False):
        return None
    line = _error_line(logs[-1])
    name, _, reason = line.partition(": ")
    if name == InterruptedRunError.__name__:
        return Unfinished(INTERRUPTED_STATUS, reason)
    return Unfinished(FAILED_STATUS, line)


def _error_line(path: Path) -> str:
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if FAILED in line:
            return line.partition(FAILED)[2]
    return NO_ERROR_LOGGED


def _cause(line: str, run: Run) -> str:
    """Return ``line`` without the parts that differ between runs: names, keys and numbers."""
    general = line.replace(run.name, "RUN").replace(str(run.folder), "RUN")
    return re.sub(r"\d+", "N", general)


def failures_text(plan: Plan, groups: Failures) -> str:
    """Return the failures as Markdown."""
    total = sum(len(runs) for runs in groups.values())
    done = sum(RunFolder(plan.run_folder(run)).result_path.exists() for run in plan.runs)
    lines = [f"# {plan.experiment.name}: {total} failed, {done} of {len(plan.runs)} runs done", ""]
    for cause in sorted(groups, key=lambda c: (-len(groups[c]), c)):
        runs = groups[cause]
        lines.append(f"## {len(runs)} x {runs[0][1]}")
        for run, _ in runs[:LISTED]:
            log = RunFolder(plan.run_folder(run)).attempt_logs()[-1]
            lines.append(f"- {run.name}: {log}")
        if len(runs) > LISTED:
            lines.append(f"- and {len(runs) - LISTED} more")
        lines.append("")
    if total:
        lines += ["To retry only these:", "", f"    {retry_command(plan)}"]
    return "\n".join(lines).rstrip() + "\n"


def retry_command(plan: Plan) -> str:
    """Return the command that trains only the failed runs."""
    return f"snakemake $(cat {plan.folder / 'failed.txt'}) --configfile {plan.file}"


def write_failures(plan: Plan) -> str | None:
    """Write ``failures.md`` and ``failed.txt`` and return the text; without failures, delete both files."""
    report, listing = plan.folder / "failures.md", plan.folder / "failed.txt"
    groups = failed_runs(plan)
    if not groups:
        report.unlink(missing_ok=True)
        listing.unlink(missing_ok=True)
        return None
    text = failures_text(plan, groups)
    paths = [RunFolder(plan.run_folder(run)).result_path for runs in groups.values() for run, _ in runs]
    write_text(report, text)
    write_text(listing, "".join(f"{path}\n" for path in sorted(paths)))
    return text
