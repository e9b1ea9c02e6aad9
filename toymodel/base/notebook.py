"""How values show themselves in a notebook: a small picture and the few numbers, as plain HTML.

A value inherits `Shown` and knows nothing of pictures; a module that presents it registers with `html_of`,
so that no finished value imports what shows it.
"""

from __future__ import annotations

import base64
import functools
import html
import struct
import zlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

__all__ = ["Shown", "card", "heat_map", "html_of"]

# Nine of cividis' 256 colours, evenly spaced (Nunez, Anderton and Renslow 2018); in between is linear.
_CIVIDIS = np.array([
    (0, 34, 78), (26, 56, 109), (67, 78, 108), (97, 100, 111), (125, 124, 120), (155, 148, 118),
    (188, 174, 108), (223, 202, 87), (254, 232, 56),
])  # fmt: skip
_HEIGHT = 90  # of a map on the page, in CSS pixels


@functools.singledispatch
def html_of(value: object) -> str:
    """A value as HTML; plain text for what nobody has registered."""
    return f"<pre>{html.escape(repr(value))}</pre>"


class Shown:
    """A value that notebooks show by `html_of`."""

    def _repr_html_(self) -> str:
        return html_of(self)


def card(title: str, numbers: Iterable[tuple[str, str]], pictures: Iterable[tuple[str, str]] = ()) -> str:
    """Title, pictures with captions, and names with values.

    Args:
        title: plain text.
        numbers: names and values, plain text.
        pictures: captions in plain text, each with HTML such as `heat_map` makes.
    """
    cell = 'style="text-align:left;padding:1px 12px 1px 0"'
    rows = "".join(
        f"<tr><td {cell}>{html.escape(name)}</td><td {cell}>{html.escape(value)}</td></tr>"
        for name, value in numbers
    )
    shown = "".join(
        f'<figure style="margin:4px 0"><figcaption style="font-size:smaller">{html.escape(words)}'
        f"</figcaption>{picture}</figure>"
        for words, picture in pictures
    )
    return (
        f'<div style="max-width:640px"><strong>{html.escape(title)}</strong>{shown}'
        f"<table>{rows}</table></div>"
    )


def heat_map(values: NDArray[np.float64], high: float | None = None) -> str:
    """A loss matrix as a small picture: time to the right, tasks downwards, from 0 (dark) to `high`.

    Args:
        values: shape ``(R, T)``.
        high: the brightest value; the largest of `values` if None.
    """
    top = float(values.max()) if high is None else high
    place = np.clip(values.T / top if top > 0 else np.zeros_like(values.T), 0, 1) * (len(_CIVIDIS) - 1)
    anchors = np.arange(len(_CIVIDIS))
    pixels = np.stack([np.interp(place, anchors, _CIVIDIS[:, c]) for c in range(3)], axis=-1)
    data = base64.b64encode(_png(np.rint(pixels).astype(np.uint8))).decode("ascii")
    rows, tasks = values.shape
    words = f"losses of {tasks} tasks at {rows} evaluations, from 0 to {top:.3g}"
    style = f"width:100%;height:{_HEIGHT}px;image-rendering:pixelated"
    return f'<img alt="{words}" style="{style}" src="data:image/png;base64,{data}">'


def _png(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels, shape ``(height, width, 3)``, as a PNG file."""
    height, width, _ = pixels.shape
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)  # 0: the line as it is
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
