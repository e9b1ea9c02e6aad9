"""One look for every picture: safe for colour-blind readers, legible in grey, the same bytes every time."""

from __future__ import annotations

import contextlib
import io
import os
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from toymodel.base.files import atomic_write

__all__ = [
    "HELD_OUT",
    "INK",
    "NETWORK",
    "SHADE",
    "TOY",
    "figure_style",
    "folded",
    "FORMATS",
    "SERIES",
    "letter",
    "new_figure",
    "pdf_bytes",
    "png_bytes",
    "save_figure",
    "save_png",
]

# Okabe-Ito colours. In grey the first two lie close together, so every series also has its own dash and
# marker; the colour is never the only difference.
NETWORK: dict[str, Any] = {"color": "#0072B2", "linestyle": "-", "linewidth": 1.6}
TOY: dict[str, Any] = {"color": "#D55E00", "linestyle": (0, (4, 1.6)), "linewidth": 1.6}
HELD_OUT: dict[str, Any] = {"color": "#009E73", "linestyle": (0, (1, 1)), "linewidth": 2.0}
# For more series than two: in this order, each with its own dash and marker.
SERIES: tuple[dict[str, Any], ...] = (
    {"color": "#0072B2", "linestyle": "-", "marker": "o"},
    {"color": "#D55E00", "linestyle": (0, (4, 1.6)), "marker": "s"},
    {"color": "#009E73", "linestyle": (0, (1, 1)), "marker": "^"},
    {"color": "#CC79A7", "linestyle": (0, (6, 1.5, 1, 1.5)), "marker": "D"},
    {"color": "#56B4E9", "linestyle": (0, (2, 1)), "marker": "v"},
    {"color": "#A65E00", "linestyle": (0, (8, 1.5)), "marker": "P"},
)
INK = "#000000"
SHADE = "#999999"

_RC: dict[str, Any] = {
    "figure.dpi": 160,
    "savefig.dpi": 160,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same glyphs on every machine
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": False,
    "pdf.fonttype": 42,  # text stays text: it can be searched and edited
    "image.cmap": "cividis",  # lightness rises steadily: the same picture in grey and to colour-blind eyes
}


@contextlib.contextmanager
def figure_style() -> Iterator[None]:
    """Matplotlib settings for the block alone; a reader's own matplotlibrc does not leak in."""
    with matplotlib.style.context(["default", _RC]):
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure (inches) with its own Agg canvas, outside pyplot's global list of figures."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png_bytes(figure: Figure) -> bytes:
    """The figure as PNG, without the software version or a date: equal figures give equal bytes."""
    buffer = io.BytesIO()
    with figure_style():
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def save_png(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write the figure as PNG, whole or not at all."""
    data = png_bytes(figure)
    with atomic_write(path) as file:
        file.write(data)


def pdf_bytes(figure: Figure) -> bytes:
    """The figure as vector PDF, without dates and versions: equal figures give equal bytes."""
    buffer = io.BytesIO()
    with figure_style():
        figure.savefig(
            buffer, format="pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None}
        )
    return buffer.getvalue()


FORMATS = {"png": png_bytes, "pdf": pdf_bytes}


def save_figure(figure: Figure, stem: str | os.PathLike[str], formats: Iterable[str] = FORMATS) -> list[Path]:
    """Write the figure in every format, each file whole or not at all.

    Args:
        figure: what `draw` returned.
        stem: path without ending.
        formats: names in `FORMATS`.

    Returns:
        The files written.
    """
    written = []
    for name in formats:
        path = Path(f"{os.fspath(stem)}.{name}")
        data = FORMATS[name](figure)
        with atomic_write(path) as file:
            file.write(data)
        written.append(path)
    return written


def letter(axes: Axes, name: str, title: str) -> None:
    """A panel's title with its letter in front."""
    axes.set_title(folded(f"({name}) {title}"))


def folded(title: str) -> str:
    """A title on as many lines as a page of the usual width has room for."""
    return textwrap.fill(title, 75)
