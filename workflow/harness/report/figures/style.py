"""The style of every figure: looks of variants, sizes for print, files of the same bytes each time."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness.runs.atomic import whole_file, write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMS = ("png", "pdf")
COLUMN, PAGE = 3.4, 7.0
"""Width in inches of a figure in one of two columns, and across both."""
DPI = 200
# Okabe and Ito (2008), told apart under every common colour blindness; their yellow is too pale for lines.
COLOURS = ("#000000", "#D55E00", "#56B4E9", "#0072B2", "#009E73", "#CC79A7", "#E69F00")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
KNOWN = ("vanilla", "freelb", "smart", "mat", "pgd", "r3f", "freeat", "creat", "r-drop", "smart-mtdnn")
"""Variants that look the same in every experiment, in this order."""
RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "legend.frameon": False,
    "legend.handlelength": 3.2,
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "pdf.fonttype": 42,  # fonts as TrueType: publishers refuse Type 3
    "svg.hashsalt": "harness",
}
WITHOUT = {"png": {"Software": None}, "pdf": {"Creator": None, "Producer": None, "CreationDate": None}}
"""Metadata that would differ between days and versions."""


@dataclass(frozen=True)
class Look:
    """How a variant is drawn: colour, marker and line differ, so that it reads in greyscale too."""

    colour: str
    marker: str
    line: Any

    def points(self) -> dict[str, Any]:
        """Return keywords of ``Axes.plot`` for points."""
        return {"color": self.colour, "marker": self.marker, "linestyle": "none"}

    def curve(self) -> dict[str, Any]:
        """Return keywords of ``Axes.plot`` for a line with points."""
        return {"color": self.colour, "marker": self.marker, "linestyle": self.line}


def looks(variants: Iterable[str]) -> dict[str, Look]:
    """Return the look of each variant: known ones their own, others the next in the order given."""
    given = list(dict.fromkeys(variants))
    numbers = {name: KNOWN.index(name) for name in given if name in KNOWN}
    for name in given:
        if name not in numbers:
            numbers[name] = _free(set(numbers.values()))
    return {name: _look(numbers[name]) for name in given}


def _free(taken: set[int]) -> int:
    """Return the first look that is nobody's, of a colour that nobody has as long as there is one."""
    colours = {number % len(COLOURS) for number in taken}
    first = len(KNOWN)
    free = [n for n in range(first, first + len(taken) + len(COLOURS)) if n not in taken]
    return next((n for n in free if n % len(COLOURS) not in colours), free[0])


def _look(number: int) -> Look:
    """Return one of 315 looks: the numbers of colours, markers and lines have no common divisor."""
    return Look(COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)], LINES[number % len(LINES)])


@contextmanager
def drawing(
    path: Path, rows: int = 1, columns: int = 1, width: float = PAGE, height: float = 2.2, below: float = 0.0
) -> Iterator[tuple["Figure", list["Axes"]]]:
    """Yield a figure in the style and its axes, row by row; at the end write ``path``.png and ``path``.pdf.

    ``path`` has no suffix; ``width`` of the figure, ``height`` of a row of axes and what is kept ``below``
    them (for a legend) are in inches. No display is needed and no state of pyplot is touched. Nothing is
    written where drawing fails.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells of every glyph

    with matplotlib.rc_context(RC):
        layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.05)
        figure = Figure(figsize=(width, height * rows + below), layout=layout)
        axes = figure.subplots(rows, columns, squeeze=False)
        yield figure, [one for line in axes for one in line]
        for form in FORMS:
            with whole_file(files(path)[form]) as temporary:
                figure.savefig(temporary, format=form, metadata=WITHOUT[form])


def files(path: Path) -> dict[str, Path]:
    """Return the file of each form; a dot in the name stays."""
    return {form: path.with_name(f"{path.name}.{form}") for form in FORMS}


def write_caption(path: Path, caption: str) -> Path:
    """Write the caption of the figure ``path`` beside it; return its file."""
    file = path.with_name(f"{path.name}.txt")
    write_text(file, f"{caption}\n")
    return file


def light_grid(axes: "Axes", axis: Literal["x", "y", "both"] = "y") -> None:
    """Draw thin lines behind the data, along one axis or ``both``."""
    axes.grid(visible=True, axis=axis, color="0.9", linewidth=0.6)
