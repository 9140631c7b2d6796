"""Which figures an experiment has: known from plan.json alone, before any run."""

from typing import Any

FORMS = ("png", "pdf", "txt")
"""Of each figure: for screens, for print, and its caption."""

CURVE, MANY = 2, 3
"""Evaluations that make a curve, and a choice among many."""


def figures_of(plan: dict[str, Any]) -> list[str]:
    """Return the names of the figures that the experiment of a plan.json can show."""
    cells = list(plan["cells"].values())
    names = ["seeds"]
    if len({cell["variant"] for cell in cells}) > 1:
        names.append("passes")
    evaluations = max(_evaluations(cell["protocol"]) for cell in cells)
    names += ["learning-curves"] if evaluations >= CURVE else []
    return names + (["inflation"] if evaluations >= MANY else [])


def _evaluations(protocol: dict[str, Any]) -> int:
    """Return how many evaluations a run has along its training; MANY where steps decide it."""
    if protocol["steps"] is not None:
        return MANY
    return int(protocol["epochs"] * protocol["evaluations_per_epoch"])
