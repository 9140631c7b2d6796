"""Where a cell comes from: its runs, what they were asked to do, and by which code."""

import json
from collections.abc import Iterator
from typing import Any

from harness.paths import shown
from harness.plan import catalogue
from harness.plan.experiment import DEFAULT
from harness.plan.grid import Cell, Run
from harness.plan.plan import Plan
from harness.plan.tuned import read_tuned
from harness.plan.yamlfile import read_yaml
from harness.report.digest import failure
from harness.runs.folder import RunFolder

SETTINGS = ("arguments", "protocol")


def explanation(plan: Plan, cell: Cell) -> str:
    """Return the story of one cell as text."""
    runs = [run for run in plan.runs if run.cell is cell]
    lines = [f"{cell.name} in {plan.experiment.name}", ""]
    for run in runs:
        lines += [*_run(plan, run), ""]
    lines += [*_configuration(plan, cell), "", *_older(plan, runs)]
    lines.append(_study(plan, cell))
    return "\n".join(lines) + "\n"


def _study(plan: Plan, cell: Cell) -> str:
    """Return the search that the arguments come from, or where else they come from."""
    study, source = cell.study, plan.experiment.source(cell.variant)
    if study is None:
        own = "those of config/variants.yaml and the experiment"
        return f"study: none; the arguments are {own if source == DEFAULT else f'those of {source}'}"
    told = f"study: {study.hash[:8]}, {shown(plan.tuned_file(study))}"
    if cell.waits:
        return f"{told}: still to be done, so the arguments above are the defaults"
    found = read_tuned(plan.tuned_file(study))
    won, commit = found.selection, found.commit or "unknown"
    return (
        f"{told}: trial {won['trial']} of {found.search['trials']}, {won['score']:.4f} on the selection rows "
        f"(defaults {won['defaults']:.4f}), searched at commit {commit}"
    )


def _run(plan: Plan, run: Run) -> Iterator[str]:
    """Yield what is known of one run."""
    folder = RunFolder(plan.run_folder(run))
    result = folder.result()
    if result is None:
        why = failure(folder)
        yield f"seed {run.seed}  {'missing' if why is None else f'failed: {why}'}  key {run.key[:8]}"
        return
    scores = [f"{s} {m} {v:.4f}" for s, found in result.metrics.items() for m, v in found.items()]
    yield f"seed {run.seed}  {result.status}  {', '.join(scores) or 'no scores'}  key {run.key[:8]}"
    yield f"  folder      {folder.path}"
    yield f"  commit      {_commit(folder)}"
    yield f"  hashes      {', '.join(f'{name} {value[:16]}' for name, value in result.hashes.items())}"
    selected = result.selection
    yield f"  selection   {selected['rule']}, weights after batch {selected['step']}"
    flags = {k: v for k, v in result.flags.items() if k in ("reason", "subset", "seen") and v}
    if flags:
        yield f"  flags       {', '.join(f'{k}: {v}' for k, v in flags.items())}"
    if differing := differences(asked(run.cell), read_yaml(folder.config_path)):
        yield f"  asked then  {'; '.join(differing)}"


def _commit(folder: RunFolder) -> str:
    if not folder.provenance_path.is_file():
        return "unknown"
    found = json.loads(folder.provenance_path.read_text(encoding="utf-8"))
    if not found.get("commit"):
        return "unknown"
    diff = found.get("diff_sha256") or ""
    return f"{found['commit']}{f', changed since (diff {diff[:16]})' if found.get('dirty') else ', clean'}"


def asked(cell: Cell) -> dict[str, Any]:
    """Return the arguments and the protocol of a cell, as config.yaml has them."""
    return {
        "arguments": cell.method.arguments.model_dump(mode="json"),
        "protocol": cell.protocol.model_dump(mode="json"),
    }


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return ``epochs 3 -> 2`` for each argument and protocol value in which two configurations differ."""
    found = []
    for group in SETTINGS:
        old, new = one.get(group, {}), other.get(group, {})
        for key in dict.fromkeys([*old, *new]):
            if old.get(key) != new.get(key):
                found.append(f"{key} {old.get(key)} -> {new.get(key)}")
    return found


def _configuration(plan: Plan, cell: Cell) -> Iterator[str]:
    """Yield how the cell differs from its protocol file, its method's defaults, and other variants."""
    base = catalogue.protocol(plan.experiment.protocol).model_dump(mode="json", exclude={"rules"})
    defaults = type(cell.method).Arguments().model_dump(mode="json")
    own = asked(cell)
    changed = differences({"protocol": base}, {"protocol": own["protocol"]})
    yield f"protocol {plan.experiment.protocol}: {'; '.join(changed) or 'unchanged'}"
    changed = differences({"arguments": defaults}, {"arguments": own["arguments"]})
    yield f"method {cell.method.name}, from its defaults: {'; '.join(changed) or 'unchanged'}"
    for other in plan.cells:
        if other is not cell and (other.task_name, other.model_name) == (cell.task_name, cell.model_name):
            apart = differences({"protocol": asked(other)["protocol"]}, {"protocol": own["protocol"]})
            yield f"protocol of {other.variant}: {'; '.join(apart) or 'the same'}"


def _older(plan: Plan, runs: list[Run]) -> Iterator[str]:
    """Yield run folders of the cell that the plan no longer asks for, and what was different."""
    wanted = {plan.run_folder(run) for run in runs}
    for path in sorted((plan.folder / "runs" / runs[0].cell.name).glob("seed*")):
        folder = RunFolder(path)
        if path in wanted or not folder.config_path.is_file():
            continue
        apart = differences(read_yaml(folder.config_path), asked(runs[0].cell))
        yield f"superseded: {path}: {'; '.join(apart) or 'data, model or code changed'}"
