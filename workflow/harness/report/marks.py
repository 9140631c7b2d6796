"""Marks: what a reader must know of the runs behind a cell, and the words for it."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from harness.report.values import RunRow, Value

LISTED = 12


@dataclass(frozen=True)
class Mark:
    """A letter in cells, its word in CSV, and its meaning."""

    letter: str
    word: str
    meaning: str


MARKS = [
    Mark("m", "missing", "missing: the run has not been made"),
    Mark("f", "failed", "failed: tried, and ended without a result"),
    Mark("d", "diverged", "diverged (NaN or infinity), without a score"),
    Mark("c", "collapsed", "collapsed (one class, or not better than chance), and yet counted"),
    Mark("u", "unresolved", "perturbation unresolved: it changes the loss less than rounding does"),
    Mark("r", "report_selected", "weights chosen on the reported rows: not comparable with the others"),
    Mark("s", "subset", "trained on a subset"),
    Mark("k", "seen", "the model has seen the task's data before"),
    Mark("e", "ended", "the run ended before the budget was spent; its last evaluation"),
    Mark("b", "before", "the budget ends before the run's first evaluation"),
]
LETTERS = [mark.letter for mark in MARKS]
STATUSES = {"missing": "m", "failed": "f", "diverged": "d", "collapsed": "c"}


def marks_of(value: Value) -> set[str]:
    """Return the letters that a run brings to a cell."""
    run = value.run
    found = set(value.marks)
    if run["status"] in STATUSES:
        found.add(STATUSES[run["status"]])
    if run["perturbation"] == "unresolved":
        found.add("u")
    if run["selection"] == "best-on-report":
        found.add("r")
    found |= {letter for letter, key in (("s", "subset"), ("k", "seen")) if run[key]}
    return found


def mark_notes(values: Iterable[Value]) -> list[str]:
    """Return one sentence a mark that occurs, with the runs (and reasons) that it stands for."""
    marked: dict[str, dict[tuple[str, int], RunRow]] = defaultdict(dict)
    for value in values:
        for letter in marks_of(value):
            marked[letter][(_cell(value.run), value.run["seed"])] = value.run
    return [
        f"{mark.letter} = {mark.meaning}: {_listed(_told(mark.letter, list(marked[mark.letter].values())))}."
        for mark in MARKS
        if mark.letter in marked
    ]


def _told(letter: str, runs: list[RunRow]) -> list[str]:
    """Return the runs of a mark, those that share cell and reason in one piece."""
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for run in runs:
        if letter in "sk":
            groups[(f"{run['task']}/{run['model']}", run["subset" if letter == "s" else "seen"])] = []
        else:
            reason = run["reason"] if letter in "fdc" else ""
            groups[(_cell(run), reason)].append(run["seed"])
    return [f"{name}{_seeds(seeds)}{f' ({why})' if why else ''}" for (name, why), seeds in groups.items()]


def _seeds(seeds: list[int]) -> str:
    return f"/seed{','.join(map(str, sorted(seeds)))}" if seeds else ""


def _cell(run: RunRow) -> str:
    return f"{run['task']}/{run['model']}/{run['variant']}"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
