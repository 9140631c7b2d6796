"""Panels: one for each task and model, with a legend of variants below them."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.report.figures.style import PAGE, Look, drawing, light_grid, looks
from harness.report.values import RunRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ACROSS = 3
ENTRY, LETTER, LINE = 0.65, 0.06, 0.15
"""Inches: width of an entry of the legend without its name, of a letter of the name, height of a line."""
Panels = dict[tuple[str, str], "Axes"]
"""Task and model to where they are drawn."""


@contextmanager
def panels(path: Path, plan: dict[str, Any], legend: bool = True, height: float = 2.1) -> Iterator[Panels]:
    """Yield the panels of a figure; at the end write it (see ``style.drawing``)."""
    places = list(dict.fromkeys((cell["task"], cell["model"]) for cell in plan["cells"].values()))
    across = min(ACROSS, len(places))
    width = PAGE * (0.5 if across == 1 else 0.85 if across == 2 else 1.0)
    names = list(variants_of(plan))
    entries = max(1, min(len(names), int(width / (ENTRY + LETTER * max(map(len, names))))))
    below = LINE * math.ceil(len(names) / entries) if legend else 0.0
    with drawing(path, math.ceil(len(places) / across), across, width, height, below) as (figure, axes):
        for one in axes[len(places) :]:
            one.remove()
        found = dict(zip(places, axes, strict=False))
        for (task, model), one in found.items():
            title = plan["tasks"][task]["title"]
            one.set_title(title if len(plan["models"]) == 1 else f"{title}, {plan['models'][model]['title']}")
            light_grid(one)
        yield found
        for one in found.values():
            if not one.has_data():
                one.text(0.5, 0.5, "no runs yet", ha="center", va="center", transform=one.transAxes)
        handles: dict[str, Any] = {}
        for one in found.values():
            lines, labels = one.get_legend_handles_labels()
            handles |= dict(zip(labels, lines, strict=True))
        if legend and handles:
            figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=entries)


def variants_of(plan: dict[str, Any]) -> dict[str, Look]:
    """Return the variants of the plan in their order, each with its look."""
    return looks(cell["variant"] for cell in plan["cells"].values())


def runs_of(runs: list[RunRow], task: str, model: str, variant: str) -> list[RunRow]:
    """Return the runs of a cell."""
    return [r for r in runs if (r["task"], r["model"], r["variant"]) == (task, model, variant)]


def counted(numbers: list[int]) -> str:
    """Return ``n = 3`` or ``n = 2 to 3`` for the numbers of runs that are drawn."""
    there = [number for number in numbers if number]
    if not there:
        return "n = 0"
    return f"n = {max(there)}" if len(set(there)) == 1 else f"n = {min(there)} to {max(there)}"
