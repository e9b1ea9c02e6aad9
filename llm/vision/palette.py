"""Pixels as tokens: the nearest colour of a palette (Chen et al. 2020; paper section A.1)."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from toymodel.base.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["common_colours", "encode", "read_palette", "scaled"]

Palette = NDArray[np.float64]

_SAMPLED = 20_000  # pixels that a palette is fitted to; more do not change it visibly
_FILE = "preprocessor_config.json"


def scaled(image: Image, side: int) -> NDArray[np.float32]:
    """An RGB image as ``side * side`` pixels in rows, float32 from -1 to 1, shape ``(side**2, 3)``.

    The arithmetic is the library's, order and precision included: at the border between two colours of the
    palette another rounding would choose the other one.
    """
    import PIL.Image

    small = image.resize((side, side), PIL.Image.Resampling.BILINEAR)
    unit = (np.asarray(small).astype(np.float64) * (1 / 255)).astype(np.float32)
    return ((unit - np.float32(0.5)) / np.float32(0.5)).reshape(-1, 3)


def encode(pixels: NDArray[np.float32], palette: Palette) -> NDArray[np.int64]:
    """Index of the nearest colour of the palette for every pixel, int64, shape ``(N,)``.

    Args:
        pixels: shape ``(N, 3)``, from -1 to 1.
        palette: shape ``(K, 3)``, from -1 to 1.
    """
    squares = np.sum(np.square(pixels), axis=1)[:, None]
    distances = squares - 2 * (pixels @ palette.T) + np.sum(np.square(palette.T), axis=0)
    return np.argmin(distances, axis=1)


def read_palette(folder: Path, colours: int) -> Palette | None:
    """The palette that a checkpoint was trained with; None where its folder has none.

    Raises:
        InputError: for one that is damaged or does not fit the model's vocabulary.
    """
    file = folder / _FILE
    if not file.is_file():
        return None
    try:
        stored = json.loads(file.read_text(encoding="utf-8")).get("clusters")
        palette = None if stored is None else np.asarray(stored, dtype=np.float64)
    except (ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{str(file)!r} cannot be read ({error})", expected="settings as JSON",
                         fix="copy the checkpoint again") from error  # fmt: skip
    if palette is not None and (palette.shape != (colours, 3) or not np.isfinite(palette).all()):
        raise InputError(
            f"{str(file)!r} has a palette of shape {palette.shape}",
            expected=f"({colours}, 3): one colour for each output of the model",
            fix="take both files from the same checkpoint",
        )
    return palette


def common_colours(pixels: NDArray[np.float32], colours: int, seed: int) -> Palette:
    """A palette for weights that were never trained: k-means over pixels, as Chen et al. made theirs.

    Args:
        pixels: shape ``(N, 3)``.
        colours: size K of the palette.
        seed: of the sample of pixels and of the first guess.
    """
    from scipy.cluster.vq import kmeans2

    rng = np.random.default_rng((seed, 7))
    distinct = np.unique(pixels, axis=0)
    if len(distinct) <= colours:  # every colour has its own; what is left over is never the nearest
        spare = np.full((colours - len(distinct), 3), 10.0)
        return np.concatenate([distinct.astype(np.float64), spare])
    sample = pixels[rng.permutation(len(pixels))[:_SAMPLED]].astype(np.float64)
    first = distinct[rng.permutation(len(distinct))[:colours]].astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a colour that is nobody's nearest stays where it was
        found: Palette = kmeans2(sample, first, iter=10, minit="matrix")[0]
    return found
