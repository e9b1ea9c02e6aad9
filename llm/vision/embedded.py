"""Embedded images: pieces of a real photograph that is on every machine with this package.

matplotlib, which the figures need anyway, ships one (Commodore Grace Hopper, 1984; U.S. Navy, public
domain): 512 x 606 pixels of skin, cloth, metal, flag and sky. Pieces of it are real pictures in colour that
need no download and no further dependency; scikit-learn's digits are grey and 8 x 8, and scikit-image's
photographs are no more than a dozen behind 14 MB.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from llm.config import RunConfig
from llm.vision.source import ImageSource

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["PLACES", "embedded_images", "photograph"]

PLACES = 10
"""Places along each side of the photograph; what place a piece is from is its class."""

_SIDE = 64  # pixels; at 32 a piece is too plain to tell where it is from
_MOVES = 4  # a place's pieces lie up to this many steps apart in both directions
_STEP = 4  # pixels


def photograph() -> Path:
    """The file."""
    import matplotlib

    return Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"


def embedded_images(config: RunConfig) -> ImageSource:
    """Square pieces of the photograph.

    Image modelling takes one from each of the 100 places, so that no two tasks are nearly the same.
    Classification tells the places apart by 16 pieces from each, a few pixels apart.
    """
    import PIL.Image

    moves = 1 if config.task == "image-modelling" else _MOVES
    file = photograph()
    whole: list[Image] = []

    def corner(index: int) -> tuple[int, int]:
        place, move = divmod(index, moves**2)
        width, height = whole[0].size
        room = _SIDE + _STEP * (_MOVES - 1)
        left = (place % PLACES) * (width - room) // (PLACES - 1)
        top = (place // PLACES) * (height - room) // (PLACES - 1)
        return left + _STEP * (move % moves), top + _STEP * (move // moves)

    def read(index: int) -> Image:
        if not whole:
            whole.append(PIL.Image.open(file).convert("RGB"))
        left, top = corner(index)
        return whole[0].crop((left, top, left + _SIDE, top + _SIDE))

    return ImageSource(
        size=PLACES**2 * moves**2,
        read=read,
        name=lambda index: f"place {index // moves**2}, piece {index % moves**2}",
        label=lambda index: index // moves**2,
        classes=tuple(map(str, range(PLACES**2))),
        origin={"name": "embedded", "photograph_sha256": hashlib.sha256(file.read_bytes()).hexdigest()},
    )
