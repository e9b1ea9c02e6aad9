"""Where images come from: the embedded photograph, folders, saved datasets and the hub, all as RGB."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llm.config import RunConfig
from llm.vision.source import ImageSource
from toymodel.base.errors import InputError
from toymodel.base.words import arg, nearest

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["HUB", "choose_images", "open_images"]

HUB = {"cifar10": "uoft-cs/cifar10", "cifar100": "uoft-cs/cifar100", "imagenet": "ILSVRC/imagenet-1k"}
"""Datasets that have a short name."""

_SUFFIXES = {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif"}
_SPLITS = ("validation", "val", "valid")  # names of one split
_LABELS = ("label", "labels", "fine_label")


def choose_images(source: ImageSource, config: RunConfig, number: int) -> list[int]:
    """Indices of the images of a run, in training order: drawn by the seed, or the first of them.

    Raises:
        InputError: for a source of fewer images than `number`.
    """
    if source.size < number:
        raise InputError(
            arg("documents", source.origin.get("name")) + f" holds {source.size} image(s)",
            expected=f"{number}: one for each of " + arg("num_documents", config.num_documents)
            if config.task == "image-modelling"
            else f"{number}: "
            + arg("num_documents", config.num_documents)
            + " batches of "
            + arg("batch", config.batch),
            fix=_fewer(source.size, config),
        )
    if config.selection == "order":
        return list(range(number))
    drawn = np.random.default_rng(config.seed).permutation(source.size)[:number]
    return [int(index) for index in drawn]


def _fewer(size: int, config: RunConfig) -> str:
    if config.task == "image-modelling" or size < 2 * config.batch:
        most = size if config.task == "image-modelling" else max(1, size // config.num_documents)
        name = "num_documents" if config.task == "image-modelling" else "batch"
        return arg(name, most) if size >= 2 else "give more images"
    return arg("num_documents", size // config.batch)


def open_images(config: RunConfig) -> ImageSource:
    """Open what ``--documents`` names.

    Raises:
        InputError: for a source that is missing, empty or gated, or holds no images.
    """
    name, path = config.documents, Path(config.documents)
    if name == "embedded":
        from llm.vision.embedded import embedded_images

        return embedded_images(config)
    if path.is_dir():
        return _folder(path, config)
    if path.is_file() and path.suffix == ".parquet":
        from llm.data.hub import load_parquet

        return _table(*load_parquet(path))
    if name in HUB or (name.count("/") == 1 and not path.suffix):
        from llm.data.hub import load_hub_dataset

        found = load_hub_dataset(
            HUB.get(name, name),
            config.documents_subset,
            config.documents_split,
            config.documents_revision,
            task=config.task,
        )
        return _table(*found, hub=True)
    near = nearest(name, ("embedded", *HUB))
    raise InputError(
        arg("documents", name),
        expected="images: 'embedded', " + ", ".join(map(repr, HUB)) + ", a hub dataset (owner/name), a saved "
        "dataset, a .parquet file, or an existing folder of images",
        fix=arg("documents", near),
    )


def _folder(path: Path, config: RunConfig) -> ImageSource:
    """Images in a folder, or one subfolder per class (of the split, where there is a folder of its name)."""
    root = _split(path, config.documents_split)
    flat = _images_in(root)
    if flat:
        return _files(root, flat, None, ())
    classes = tuple(sorted(folder.name for folder in root.iterdir() if folder.is_dir()))
    found = [
        (file, label) for label, name in enumerate(classes) for file in _images_in(root / name, deep=True)
    ]
    if found:
        files, labels = zip(*found, strict=True)
        return _files(root, list(files), list(labels), classes)
    if any(path.rglob("*.parquet")) or any(path.rglob("*.arrow")):
        from llm.data.hub import load_local_dataset

        return _table(*load_local_dataset(path, config.documents_subset, config.documents_split))
    raise InputError(
        f"folder {str(root)!r} holds no images",
        expected="image files, one subfolder of image files per class, or a saved dataset",
        fix=arg("documents", "embedded") + ", or name another folder",
    )


def _split(path: Path, split: str) -> Path:
    """The folder of a split, the folder itself where it has no splits."""
    inside = {folder.name for folder in path.iterdir() if folder.is_dir()}
    for name in (split, *(_SPLITS if split in _SPLITS else ())):
        if name in inside:
            return path / name
    if there := sorted(inside & {"train", "test", *_SPLITS}):
        raise InputError(arg("documents_split", split), expected=f"{' or '.join(there)}, as in {str(path)!r}",
                         fix=arg("documents_split", there[0]))  # fmt: skip
    return path


def _images_in(folder: Path, deep: bool = False) -> list[Path]:
    inside = folder.rglob("*") if deep else folder.iterdir()
    return sorted(file for file in inside if file.suffix.lower() in _SUFFIXES)


def _files(root: Path, files: list[Path], labels: list[int] | None, classes: tuple[str, ...]) -> ImageSource:
    import PIL.Image

    return ImageSource(
        size=len(files),
        read=lambda index: PIL.Image.open(files[index]),
        name=lambda index: str(files[index].relative_to(root)),
        label=labels.__getitem__ if labels is not None else None,
        classes=classes,
        origin={"name": str(root)},
    )


def _table(table: Any, origin: Mapping[str, Any], hub: bool = False) -> ImageSource:
    """Rows of a dataset with a column of images and, for classification, one of class labels."""
    import datasets
    import PIL.Image

    columns = table.features
    pictures = [name for name, kind in columns.items() if isinstance(kind, datasets.Image)]
    if not pictures:
        raise InputError(
            arg("documents", origin.get("name")) + f" has the columns {', '.join(columns)}",
            expected="a column of images",
            fix=arg("documents", "cifar10"),
        )
    picture = pictures[0]
    # Files are decoded here rather than by the library, so that a damaged one can be named.
    table = table.cast_column(picture, datasets.Image(decode=False))

    def read(index: int) -> Image:
        stored = table[index][picture]
        return PIL.Image.open(io.BytesIO(stored["bytes"]) if stored["bytes"] else stored["path"])

    def name(index: int) -> str:
        return f"row {index} of {origin.get('name')}"

    found = ImageSource(len(table), read, name, origin=origin, hub=hub)
    known = [column for column, kind in columns.items() if isinstance(kind, datasets.ClassLabel)]
    known.sort(key=lambda column: _LABELS.index(column) if column in _LABELS else len(_LABELS))
    if not known:
        return found
    labels = table.select_columns(known[0])
    return ImageSource(
        found.size, read, name, lambda index: int(labels[index][known[0]]), tuple(columns[known[0]].names),
        {**origin, "labels": known[0]}, hub,
    )  # fmt: skip
