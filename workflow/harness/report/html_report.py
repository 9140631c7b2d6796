"""The report: one HTML page with all results of an experiment, without any external file."""

import base64
from collections import Counter
from html import escape
from pathlib import Path

from harness.config.locations import suggest
from harness.config.plan_file import PlanFile
from harness.results.environment import Environment
from harness.results.frame import RunRow
from harness.tables.html import cell
from harness.tables.table import Table
from harness.util.files import write_text

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.55 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 72rem;
  color: #1a1a1a; }
h1 { font-size: 1.45rem; line-height: 1.25; }
h2 { font-size: 1.15rem; margin-top: 2.5rem; border-top: 1px solid #ccc; padding-top: 1rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
nav ul { columns: 15rem; padding-left: 1.2rem; }
a { color: #0b57a4; }
.banner { color: #a00; font-weight: bold; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; border-top: 2px solid; border-bottom: 2px solid; font-size: .88rem; }
th, td { text-align: left; padding: .2rem 1rem .2rem 0; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
th { border-bottom: 1px solid; vertical-align: bottom; }
th:first-child, td:first-child { position: sticky; left: 0; background: #fff; }
p, figcaption { max-width: 58rem; }
figure { margin: 1rem 0; }
img { max-width: 100%; min-width: 34rem; height: auto; }
figcaption, .notes { font-size: .85rem; color: #333; }
.notes p { margin: .4rem 0; overflow-wrap: anywhere; }
pre { overflow-x: auto; background: #f4f4f4; padding: .6rem; font-size: .85rem; }
@media print { nav { display: none; } h2 { break-after: avoid; } table, figure { break-inside: avoid; } }
"""
TITLES = {
    "seeds": "Every seed",
    "passes": "Score against passes",
    "learning-curves": "Learning curves",
    "inflation": "Inflation of the best of many evaluations",
}
Section = tuple[str, str, str]
"""Anchor, title and content."""


def write_report(
    plan: PlanFile,
    runs: list[RunRow],
    tables: list[Table],
    figures: list[Path],
    environment: Environment,
    failures: str | None,
    path: Path,
) -> Path:
    """Write the page; ``figures`` are the paths of all figures, ``failures`` the text about failed runs."""
    sections = [(f"table-{t.name}", _short(plan, t), _table(t)) for t in tables]
    pictures = [(f"figure-{p.stem}", _title(p.stem), _figure(p)) for p in figures if p.suffix == ".png"]
    sections = [*sections[:1], *pictures, *sections[1:]]
    sections.append(("coverage", "Coverage", _coverage(plan, runs)))
    sections.append(("failures", "Failures", _failures(failures)))
    sections.append(("environment", "Environment", _environment(plan, environment, runs)))
    write_text(path, _page(plan, runs, sections))
    return path


def _page(plan: PlanFile, runs: list[RunRow], sections: list[Section]) -> str:
    experiment = plan.experiment
    banner = f'<p class="banner">{escape(experiment.banner)}</p>\n' if experiment.banner else ""
    links = "".join(f'<li><a href="#{anchor}">{escape(title)}</a></li>' for anchor, title, _ in sections)
    body = "".join(
        f'<section id="{anchor}">\n<h2>{escape(title)}</h2>\n{content}</section>\n'
        for anchor, title, content in sections
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(experiment.title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(experiment.title)}</h1>\n{banner}<p>{escape(_summary(plan, runs))}</p>\n"
        f'<nav aria-label="contents"><ul>{links}</ul></nav>\n{body}</body>\n</html>\n'
    )


def _summary(plan: PlanFile, runs: list[RunRow]) -> str:
    states = Counter(run.status for run in runs)
    counts = ", ".join(f"{count} {state}" for state, count in states.items())
    seeds = plan.experiment.seeds
    tasks = ", ".join(facts.title for facts in plan.tasks.values())
    models = ", ".join(facts.title for facts in plan.models.values())
    variants = plan.variants
    return (
        f"Experiment {plan.experiment.name}: {', '.join(variants)}, each with {len(seeds)} "
        f"seed{'s' if len(seeds) > 1 else ''}, on {tasks}, with {models}. {len(runs)} runs planned: {counts}."
    )


def _short(plan: PlanFile, table: Table) -> str:
    return table.title.removeprefix(f"{plan.experiment.title}: ")


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in table.head)
    parts = [f"<p>{escape(table.about)}</p>\n" if table.about else ""]
    for block in table.blocks:
        parts.append(f"<h3>{escape(block.title)}</h3>\n" if len(table.blocks) > 1 else "")
        parts.append(_grid(head, block.rows))
    notes = "".join(f"<p>{escape(note)}</p>\n" for note in table.notes)
    return "".join(parts) + f'<div class="notes">\n{notes}</div>\n'


def _grid(head: str, rows: list[list[str]]) -> str:
    lines = "".join("<tr>" + "".join(f"<td>{cell(text)}</td>" for text in row) + "</tr>\n" for row in rows)
    return (
        f'<div class="wide" tabindex="0"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{lines}</tbody></table></div>\n"
    )


def _title(name: str) -> str:
    return TITLES.get(name, name.replace("-", " ").capitalize())


def _figure(path: Path) -> str:
    caption = path.with_suffix(".txt").read_text(encoding="utf-8").strip()
    data = base64.b64encode(path.read_bytes()).decode()
    image = f'<img alt="{escape(_title(path.stem))}" src="data:image/png;base64,{data}">'
    caption = f"<figcaption>{escape(caption)}</figcaption>"
    return f'<figure>\n<div class="wide" tabindex="0">{image}</div>\n{caption}\n</figure>\n'


def _coverage(plan: PlanFile, runs: list[RunRow]) -> str:
    """Return a table of finished and planned runs, with the states other than ok."""
    places = plan.places
    states: dict[tuple[str, str, str], Counter[str]] = {}
    for run in runs:
        key = (run.variant, run.task, run.model)
        states.setdefault(key, Counter())[run.status] += 1
    rows = [
        [variant, *(_state(states.get((variant, *place), Counter())) for place in places)]
        for variant in plan.variants
    ]
    titles = [f"{plan.tasks[task].title}, {plan.models[model].title}" for task, model in places]
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in ["variant", *titles])
    return _grid(head, rows)


def _state(states: Counter[str]) -> str:
    """Return ``3/3``, or ``2/3: 1 missing`` if not all are ok."""
    done = sum(states.values()) - states["missing"] - states["failed"]
    rest = ", ".join(f"{count} {state}" for state, count in states.items() if state != "ok")
    return f"{done}/{sum(states.values())}{f': {rest}' if rest else ''}" if states else "not planned"


def _failures(text: str | None) -> str:
    return f"<pre>{escape(text)}</pre>\n" if text else "<p>No attempted run has failed.</p>\n"


def _environment(plan: PlanFile, environment: Environment, runs: list[RunRow]) -> str:
    commits = Counter(run.commit for run in runs if run.commit)
    facts = environment or {"commit": dict(commits)}
    rows = [
        [
            name,
            "; ".join(
                f"{value} ({count} runs)" if len(values) > 1 else value for value, count in values.items()
            ),
        ]
        for name, values in facts.items()
    ]
    head = '<th scope="col">fact</th><th scope="col">value</th>'
    command = suggest("verify", f"{plan.experiment.name}:TASK/MODEL/VARIANT/seedK")
    return (
        f"<p>Code, versions and machines of the runs.</p>\n{_grid(head, rows)}"
        f"<p>Experiment file: {escape(plan.file)}. To train a run again and compare the results:</p>\n"
        f"<pre>{escape(command)}</pre>\n"
    )
