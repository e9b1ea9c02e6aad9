"""Images as a source gives them: read when asked for, always RGB."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from toymodel.base.errors import InputError
from toymodel.base.words import arg, first_line

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["ImageSource"]

# Beyond this the shorter side would be scaled up to a strip of hundreds of megapixels.
_MOST_STRETCHED = 50


@dataclass(frozen=True)
class ImageSource:
    """Images, read when they are asked for.

    Attributes:
        size: number of images.
        read: image i as it is stored, before `rgb`.
        name: where image i is found.
        label: class of image i, an index into `classes`; None where the source has no classes.
        classes: their names.
        origin: what the manifest says of the source.
        hub: whether it comes over the network.
    """

    size: int
    read: Callable[[int], Image]
    name: Callable[[int], str]
    label: Callable[[int], int] | None = None
    classes: tuple[str, ...] = ()
    origin: Mapping[str, Any] = field(default_factory=dict)
    hub: bool = False

    def rgb(self, index: int) -> Image:
        """Image i in RGB: grey is repeated, transparency and a palette are resolved, 16 bits become 8.

        Raises:
            InputError: for a file that is damaged, not an image, or of a kind that has no 8-bit colours.
        """
        import PIL.Image

        name = self.name(index)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
                with self.read(index) as image:
                    image.load()
        except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError, Warning) as error:
            raise InputError(
                f"{name!r} cannot be read as an image ({first_line(error)})",
                expected="a whole JPEG, PNG or other file that Pillow opens",
                fix="copy it again, or take it out of the images",
            ) from error
        width, height = image.size
        if max(width, height) > _MOST_STRETCHED * min(width, height):
            raise InputError(f"{name!r} is {width} x {height} pixels", expected="a picture, not a line",
                             fix="take it out of the images")  # fmt: skip
        if image.mode.startswith("I;16"):
            return PIL.Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
        if image.mode in ("I", "F"):
            raise InputError(f"{name!r} has pixels of 32 bits ({image.mode})", expected="8 or 16 bits each",
                             fix="convert it to PNG")  # fmt: skip
        if "transparency" in image.info:
            image = image.convert("RGBA")
        return image.convert("RGB")

    def checked_label(self, index: int) -> int:
        """Class of image i.

        Raises:
            InputError: where there is none, or one that is no class of the source.
        """
        if self.label is None:
            raise InputError(
                arg("documents", self.origin.get("name")) + " has no classes",
                expected="a folder with one subfolder per class, or a dataset with a column of class labels",
                fix=arg("task", "image-modelling") + ", or sort the images into folders",
            )
        label = self.label(index)
        if not 0 <= label < len(self.classes):
            raise InputError(
                f"{self.name(index)!r} has the class label {label}",
                expected=f"0 to {len(self.classes) - 1}; test splits often have no labels",
                fix=arg("documents_split", "train"),
            )
        return label
