"""Tables in the paper's form: rows variants, columns tasks; mean, spread and n in each cell."""

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from tabulate import tabulate

from harness.plan.plan import Plan
from harness.report.frame import MISSING
from harness.runs.atomic import write_text

LISTED = 12
CELL = ["model", "variant", "task"]
MARKS = {"collapsed": "c", "diverged": "d", "unresolved": "u"}
MEANING = {
    "collapsed": "collapsed (one class, or not better than chance: permutation p > .05), yet in the mean",
    "diverged": "diverged (NaN or infinity), without a score",
    "unresolved": "perturbation unresolved: it changes the loss less than rounding does",
}


def _marked(frame: pd.DataFrame, mark: str) -> "pd.Series[bool]":
    """Tell which runs carry a mark."""
    return frame["perturbation" if mark == "unresolved" else "status"] == mark


@dataclass(frozen=True)
class Table:
    """One table: the text of each cell, the numbers behind it, and what stands around it."""

    name: str
    title: str
    banner: str | None
    cells: pd.DataFrame
    """Texts; one row a variant (and model), one column a task."""
    numbers: pd.DataFrame
    """Tidy: one row a cell."""
    notes: list[str]


def main_table(plan: Plan, frame: pd.DataFrame) -> Table:
    """Return the main table of ``frame``."""
    numbers = _numbers(frame)
    titles = {c.task_name: f"{c.task.title} ({c.task.rank})" for c in plan.cells}
    several = frame["model"].nunique() > 1
    numbers["text"] = [_text(row) for row in numbers.to_dict("records")]
    numbers["row"] = [
        f"{r['variant']} ({r['model']})" if several else r["variant"] for r in numbers.to_dict("records")
    ]
    wide = numbers.pivot(index="row", columns="task", values="text")
    wide = wide.loc[numbers["row"].unique(), frame["task"].unique()].rename(columns=titles)
    wide.index.name, wide.columns.name = "variant", None
    numbers = numbers.drop(columns=["text", "row"]).assign(metric=numbers["task"].map(_ranks(plan)))
    return Table("main", plan.experiment.title, plan.experiment.banner, wide, numbers, _notes(frame))


def _ranks(plan: Plan) -> dict[str, str]:
    return {c.task_name: f"{c.task.report[0]} {c.task.rank}" for c in plan.cells}


def _numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row a cell: mean and sample standard deviation in percent, and counts."""
    groups = frame.groupby(CELL, sort=False)
    statuses = pd.DataFrame({mark: _marked(frame, mark) for mark in [*MARKS, MISSING]})
    counts = statuses.groupby([frame[k] for k in CELL], sort=False).sum()
    return (
        pd.DataFrame(
            {
                "mean": 100 * groups["score"].mean(),
                "sd": 100 * groups["score"].std(ddof=1),
                "n": groups["score"].count(),
                "planned": groups["seed"].count(),
            }
        )
        .join(counts)
        .reset_index()
    )


def _text(cell: dict[Hashable, Any]) -> str:
    """Return ``76.2 ±0.8 (3/3)``, with marks."""
    score = "-" if cell["n"] == 0 else f"{cell['mean']:.1f}"
    if cell["n"] > 1:
        score += f" ±{cell['sd']:.1f}"
    marks = "".join(mark for status, mark in MARKS.items() if cell[status])
    return f"{score}{' ' + marks if marks else ''} ({cell['n']}/{cell['planned']})"


def _notes(frame: pd.DataFrame) -> list[str]:
    """Return what must be said below the table."""
    done = int((frame["status"] != MISSING).sum())
    notes = [
        f"{done} of {len(frame)} runs. Percent: mean ± sample standard deviation over seeds "
        "(runs with a score / runs planned)."
    ]
    for name, mark in MARKS.items():
        if runs := _run_names(frame[_marked(frame, name)]):
            notes.append(f"{mark} = {MEANING[name]}: {_listed(runs)}.")
    if runs := _run_names(frame[frame["status"] == MISSING]):
        notes.append(f"Missing: {_listed(runs)}.")
    return notes


def _listed(runs: list[str]) -> str:
    more = f" and {len(runs) - LISTED} more" if len(runs) > LISTED else ""
    return ", ".join(runs[:LISTED]) + more


def _run_names(frame: pd.DataFrame) -> list[str]:
    return [f"{r.task}/{r.model}/{r.variant}/seed{r.seed}" for r in frame.itertuples()]


def markdown(table: Table) -> str:
    """Return the table as Markdown."""
    body = tabulate(table.cells.reset_index(), headers="keys", tablefmt="github", showindex=False)
    head = [f"# {table.title}"] + ([f"**{table.banner}**"] if table.banner else [])
    return "\n\n".join([*head, body, *table.notes]) + "\n"


def latex(table: Table) -> str:
    """Return the table as LaTeX for the booktabs package."""
    body = tabulate(table.cells.reset_index(), headers="keys", tablefmt="latex_booktabs", showindex=False)
    banner = f"\\textbf{{{_escape(table.banner)}}} " if table.banner else ""
    caption = _escape(f"{table.title}. {' '.join(table.notes)}")
    lines = ["\\begin{table}", "\\centering", body, f"\\caption{{{banner}{caption}}}", "\\end{table}"]
    return "\n".join(lines).replace("±", "$\\pm$") + "\n"


def _escape(text: str) -> str:
    special = {"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}"}
    special |= {c: f"\\{c}" for c in "&%$#_{}"}
    text = "".join(special.get(c, c) for c in text)
    return text.replace(">", "$>$").replace("<", "$<$")


def comma_separated(table: Table) -> str:
    """Return the numbers of the table, one line a cell, under a comment with the banner if any."""
    text: str = table.numbers.to_csv(index=False, float_format="%.6f")
    return f"# {table.banner}\n{text}" if table.banner else text


def write_tables(plan: Plan, frame: pd.DataFrame) -> list[Path]:
    """Write every table in every form; return the files."""
    table = main_table(plan, frame)
    folder = plan.folder / "tables"
    forms = {"md": markdown(table), "tex": latex(table), "csv": comma_separated(table)}
    paths = []
    for ending, text in forms.items():
        path = folder / f"{table.name}.{ending}"
        write_text(path, text)
        paths.append(path)
    return paths
