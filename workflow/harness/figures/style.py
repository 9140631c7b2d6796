"""The style of every figure: styles of variants, sizes for print, reproducible bytes."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from harness.plan.outputs import FIGURE_FORMS
from harness.util.files import complete_file, write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

IMAGES = tuple(form for form in FIGURE_FORMS if form != "txt")
CAPTION = "txt"
PAGE = 7.0
"""Width in inches of a figure across a page."""
DPI = 200
# Okabe and Ito (2008): distinct under every common colour blindness. Their yellow is too pale for lines.
COLOURS = ("#000000", "#D55E00", "#56B4E9", "#0072B2", "#009E73", "#CC79A7", "#E69F00")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
KNOWN = ("vanilla", "freelb", "smart", "mat", "pgd", "r3f", "freeat", "creat", "r-drop", "smart-mtdnn")
"""Variants that have the same style in every experiment, in this order."""
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
"""Metadata that is left out, because it differs between days and versions."""


class LineStyle(TypedDict):
    """Keywords of ``Axes.plot``."""

    color: str
    marker: str
    linestyle: str | tuple[int, tuple[int, ...]]


@dataclass(frozen=True)
class Style:
    """Colour, marker and line of a variant; markers and lines differ for greyscale prints."""

    colour: str
    marker: str
    dashes: str | tuple[int, tuple[int, ...]]

    def points(self) -> LineStyle:
        """Return keywords of ``Axes.plot`` for points."""
        return {"color": self.colour, "marker": self.marker, "linestyle": "none"}

    def line(self) -> LineStyle:
        """Return keywords of ``Axes.plot`` for a line with points."""
        return {"color": self.colour, "marker": self.marker, "linestyle": self.dashes}


def styles(variants: Iterable[str]) -> dict[str, Style]:
    """Return the style of each variant: fixed for those in KNOWN, otherwise the next free one."""
    names = list(dict.fromkeys(variants))
    numbers = {name: KNOWN.index(name) for name in names if name in KNOWN}
    for name in names:
        if name not in numbers:
            numbers[name] = _free(set(numbers.values()))
    return {name: _style(numbers[name]) for name in names}


def _free(taken: set[int]) -> int:
    """Return the first free style, with a free colour as long as there is one."""
    colours = {number % len(COLOURS) for number in taken}
    first = len(KNOWN)
    free = [n for n in range(first, first + len(taken) + len(COLOURS)) if n not in taken]
    return next((n for n in free if n % len(COLOURS) not in colours), free[0])


def _style(number: int) -> Style:
    """Return one of 315 styles: the numbers of colours, markers and lines have no common divisor."""
    return Style(COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)], LINES[number % len(LINES)])


@contextmanager
def drawing(
    path: Path, rows: int = 1, columns: int = 1, width: float = PAGE, height: float = 2.2, below: float = 0.0
) -> Iterator[tuple["Figure", list["Axes"]]]:
    """Yield a figure and its axes, row by row; at the end write ``path``.png and ``path``.pdf.

    ``path`` has no suffix. The ``width`` of the figure, the ``height`` of a row of axes and the space
    ``below`` them (for a legend) are in inches. No display is needed, and the state of pyplot is unchanged.
    If drawing fails, nothing is written.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it logs every glyph

    with matplotlib.rc_context(RC):
        layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.05)
        figure = Figure(figsize=(width, height * rows + below), layout=layout)
        axes = figure.subplots(rows, columns, squeeze=False)
        yield figure, [panel for row in axes for panel in row]
        for form in IMAGES:
            with complete_file(image_paths(path)[form]) as temporary:
                figure.savefig(temporary, format=form, metadata=WITHOUT[form])


def image_paths(path: Path) -> dict[str, Path]:
    """Return the path of each image format; a dot in the name stays."""
    return {form: path.with_name(f"{path.name}.{form}") for form in IMAGES}


def write_caption(path: Path, caption: str) -> Path:
    """Write the caption of the figure ``path`` beside it; return its path."""
    file = path.with_name(f"{path.name}.{CAPTION}")
    write_text(file, f"{caption}\n")
    return file


def light_grid(axes: "Axes", axis: Literal["x", "y", "both"] = "y") -> None:
    """Draw thin lines behind the data, along one axis or ``both``."""
    axes.grid(visible=True, axis=axis, color="0.9", linewidth=0.6)
