"""The failure digest: which runs failed, grouped by cause, and the command that retries just those."""

import re
from collections import defaultdict
from pathlib import Path

from harness.plan.grid import Run
from harness.plan.plan import Plan
from harness.runs.atomic import write_text
from harness.runs.attempt import FAILED
from harness.runs.folder import RunFolder
from harness.runs.lock import is_held

SILENT = "ended without a word: killed, out of memory, or the machine went away"
SHOWN = 3


def failed_runs(plan: Plan) -> dict[str, list[tuple[Run, str]]]:
    """Return the runs that were tried and have no result: cause to (run, first telling log line)."""
    groups: dict[str, list[tuple[Run, str]]] = defaultdict(list)
    for run in plan.runs:
        line = failure(RunFolder(plan.run_folder(run)))
        if line is not None:
            groups[_cause(line, run)].append((run, line))
    return dict(groups)


def failure(folder: RunFolder) -> str | None:
    """Return why the last try came to nothing; None for a run with a result, at work, or never tried."""
    logs = folder.attempt_logs()
    if not logs or folder.result_path.exists() or is_held(folder.path):
        return None
    return _telling_line(logs[-1])


def _telling_line(path: Path) -> str:
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if FAILED in line:
            return line.partition(FAILED)[2]
    return SILENT


def _cause(line: str, run: Run) -> str:
    """Return the line without what differs between runs: their names, keys and numbers."""
    general = line.replace(run.name, "RUN").replace(str(run.folder), "RUN")
    return re.sub(r"\d+", "N", general)


def digest_text(plan: Plan, groups: dict[str, list[tuple[Run, str]]]) -> str:
    """Return the digest as Markdown."""
    total = sum(len(runs) for runs in groups.values())
    done = sum(RunFolder(plan.run_folder(run)).result_path.exists() for run in plan.runs)
    lines = [f"# {plan.experiment.name}: {total} failed, {done} of {len(plan.runs)} runs done", ""]
    for cause in sorted(groups, key=lambda c: (-len(groups[c]), c)):
        runs = groups[cause]
        lines.append(f"## {len(runs)} x {runs[0][1]}")
        for run, _ in runs[:SHOWN]:
            log = RunFolder(plan.run_folder(run)).attempt_logs()[-1]
            lines.append(f"- {run.name}: {log}")
        if len(runs) > SHOWN:
            lines.append(f"- and {len(runs) - SHOWN} more")
        lines.append("")
    if total:
        lines += ["Retry just these:", "", f"    {retry_command(plan)}"]
    return "\n".join(lines).rstrip() + "\n"


def retry_command(plan: Plan) -> str:
    """Return the command that runs the failed runs alone."""
    return f"snakemake $(cat {plan.folder / 'failed.txt'}) --configfile {plan.file}"


def write_digest(plan: Plan) -> str | None:
    """Write ``failures.md`` and ``failed.txt``; return the text, or None (and no files) without failures."""
    report, listing = plan.folder / "failures.md", plan.folder / "failed.txt"
    groups = failed_runs(plan)
    if not groups:
        report.unlink(missing_ok=True)
        listing.unlink(missing_ok=True)
        return None
    text = digest_text(plan, groups)
    paths = [RunFolder(plan.run_folder(run)).result_path for runs in groups.values() for run, _ in runs]
    write_text(report, text)
    write_text(listing, "".join(f"{path}\n" for path in sorted(paths)))
    return text
