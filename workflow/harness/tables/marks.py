"""Marks: letters in cells that qualify the runs behind them, and their notes."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from harness.config.result import NO_NOISE
from harness.results.frame import RunRow
from harness.tables.values import Value

LISTED = 12
"""Runs that a note lists."""


@dataclass(frozen=True)
class Mark:
    """A letter in cells, its column in the CSV, and its meaning."""

    letter: str
    word: str
    meaning: str


MARKS = [
    Mark("m", "missing", "missing: the run was not made"),
    Mark("f", "failed", "failed: an attempt ended without a result"),
    Mark("i", "interrupted", "interrupted: stopped on request; the same command resumes it"),
    Mark("d", "diverged", "diverged (NaN or infinity); it counts with the score of guessing"),
    Mark("c", "collapsed", "collapsed (constant predictions, or not better than chance); the score counts"),
    Mark("u", "unresolved", "perturbation unresolved: it changes the loss less than rounding does"),
    Mark("n", "no_noise", "no noise: without dropout, the passes that the method compares are the same"),
    Mark("r", "report_selected", "weights selected on the report split: not comparable with the others"),
    Mark("s", "subset", "trained on a subset"),
    Mark("k", "contamination", "contamination: the model was trained on the task's data before"),
    Mark("e", "ended", "the run ended before the budget was spent; the score is its last one"),
    Mark("o", "on_report", "on the report split during training: the protocol holds out no selection rows"),
    Mark("b", "before", "the budget ends before the run's first evaluation"),
]
LETTERS = [mark.letter for mark in MARKS]
STATUSES = {"missing": "m", "failed": "f", "interrupted": "i", "diverged": "d", "collapsed": "c"}


def marks_of(value: Value) -> set[str]:
    """Return the letters that a run adds to a cell."""
    run = value.run
    letters = set(value.marks)
    if run.status in STATUSES:
        letters.add(STATUSES[run.status])
    if run.perturbation == "unresolved":
        letters.add("u")
    if run.perturbation == NO_NOISE:
        letters.add("n")
    if run.selection == "best-on-report":
        letters.add("r")
    if run.subset:
        letters.add("s")
    if run.contamination:
        letters.add("k")
    return letters


def mark_notes(values: Iterable[Value]) -> list[str]:
    """Return one sentence for each mark that occurs, with its runs and reasons."""
    marked: dict[str, dict[tuple[str, int], RunRow]] = defaultdict(dict)
    for value in values:
        for letter in marks_of(value):
            marked[letter][value.run.cell, value.run.seed] = value.run
    return [
        f"{mark.letter} = {mark.meaning}: {_list(_run_texts(mark.letter, marked[mark.letter].values()))}."
        for mark in MARKS
        if mark.letter in marked
    ]


def _run_texts(letter: str, runs: Iterable[RunRow]) -> list[str]:
    """Return the marked runs; those with the same cell and reason are one text."""
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for run in runs:
        if letter in "sk":
            groups[f"{run.task}/{run.model}", run.subset if letter == "s" else run.contamination] = []
        else:
            groups[run.cell, run.reason if letter in "fidc" else ""].append(run.seed)
    return [f"{name}{_seeds(seeds)}{f' ({why})' if why else ''}" for (name, why), seeds in groups.items()]


def _seeds(seeds: list[int]) -> str:
    return f"/seed{','.join(map(str, sorted(seeds)))}" if seeds else ""


def _list(texts: list[str]) -> str:
    more = f" and {len(texts) - LISTED} more" if len(texts) > LISTED else ""
    return ", ".join(texts[:LISTED]) + more
