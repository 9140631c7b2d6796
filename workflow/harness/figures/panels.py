"""Panels: one for each task and model, with a legend of variants below them."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from harness.config.plan_file import PlanFile
from harness.figures.style import PAGE, Style, drawing, light_grid, styles
from harness.results.frame import RunRow

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

ACROSS = 3
"""Panels in a row."""
ENTRY, LETTER, LINE = 0.65, 0.06, 0.15
"""Inches: width of a legend entry without its name, width of a letter of the name, height of a line."""
Panels = dict[tuple[str, str], "Axes"]
"""Task and model to their axes."""


@contextmanager
def panels(path: Path, plan: PlanFile, legend: bool = True, height: float = 2.1) -> Iterator[Panels]:
    """Yield the panels of a figure, and write it at the end (see ``style.drawing``)."""
    places = plan.places
    across = min(ACROSS, len(places))
    width = PAGE * (0.5 if across == 1 else 0.85 if across == 2 else 1.0)
    names = list(styles_of(plan))
    entries = max(1, min(len(names), int(width / (ENTRY + LETTER * max(map(len, names))))))
    below = LINE * math.ceil(len(names) / entries) if legend else 0.0
    with drawing(path, math.ceil(len(places) / across), across, width, height, below) as (figure, axes):
        for unused in axes[len(places) :]:
            unused.remove()
        all_axes = dict(zip(places, axes, strict=False))
        for (task, model), panel in all_axes.items():
            title = plan.tasks[task].title
            panel.set_title(title if len(plan.models) == 1 else f"{title}, {plan.models[model].title}")
            light_grid(panel)
        yield all_axes
        handles: dict[str, Artist] = {}
        for panel in all_axes.values():
            if not panel.has_data():
                panel.text(0.5, 0.5, "no values", ha="center", va="center", transform=panel.transAxes)
            lines, labels = panel.get_legend_handles_labels()
            handles |= dict(zip(labels, lines, strict=True))
        if legend and handles:
            figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=entries)


def styles_of(plan: PlanFile) -> dict[str, Style]:
    """Return the style of each variant of the plan, in their order."""
    return styles(cell.variant for cell in plan.cells.values())


def runs_of(runs: list[RunRow], task: str, model: str, variant: str) -> list[RunRow]:
    """Return the runs of a cell."""
    return [r for r in runs if (r.task, r.model, r.variant) == (task, model, variant)]


def count_text(counts: list[int]) -> str:
    """Return ``n = 3`` or ``n = 2 to 3`` for the numbers of runs that are drawn."""
    present = [count for count in counts if count]
    if not present:
        return "n = 0"
    return f"n = {max(present)}" if len(set(present)) == 1 else f"n = {min(present)} to {max(present)}"
