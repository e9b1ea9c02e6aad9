"""Checkpoints in one GGUF file: what they hold, checked before anything else reads them.

A file carries architecture, tokenizer and weights, the weights usually quantised. The library turns them into
a plain model in float32; this module says what the file is, and in one line what is wrong with it.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path

from toymodel.base.errors import InputError
from toymodel.base.words import first_line

__all__ = ["is_gguf", "library_arguments", "loading_gguf", "quantization"]

_PACKAGES = ("gguf", "accelerate")


def is_gguf(path: Path) -> bool:
    """Whether a path is a GGUF file, by its name."""
    return path.suffix == ".gguf" and path.is_file()


def library_arguments(path: Path) -> tuple[Path, dict[str, str]]:
    """What the library's ``from_pretrained`` takes for a checkpoint: a folder, and the file in it if any."""
    return (path.parent, {"gguf_file": path.name}) if is_gguf(path) else (path, {})


def quantization(path: Path) -> dict[str, int]:
    """Number of tensors by storage type (``{"Q4_1": 210, "F32": 61}``) of a GGUF file that is whole.

    Raises:
        InputError: without the packages that read it, or for a file that is damaged, cut short or of types
            that the packages do not know.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"{str(path)!r} without the package(s) {' and '.join(missing)}",
                         expected="the packages that read GGUF files",
                         fix=f"pip install {' '.join(missing)}")  # fmt: skip
    from gguf import GGUFReader

    try:
        reader = GGUFReader(path)
        reader.fields["general.architecture"].contents()
        found = Counter(tensor.tensor_type.name for tensor in reader.tensors)
        # A memory map ends without a word where a cut file does.
        whole = all(tensor.data.nbytes == tensor.n_bytes for tensor in reader.tensors)
    except Exception as error:  # the reader raises whatever a damaged header leads it to
        raise _unreadable(path, error) from error
    if not whole or not found:
        raise _unreadable(path, ValueError("tensors are missing at its end"))
    return dict(found.most_common())


def loading_gguf(path: Path, error: Exception) -> InputError:
    """The one line for what the library raised on a file that `quantization` found whole."""
    return InputError(
        f"{str(path)!r}: {first_line(error)}",
        expected="a GGUF file of an architecture and quantisation that the installed transformers reads",
        fix="pip install --upgrade transformers gguf, or a checkpoint's folder with safetensors",
    )


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{str(path)!r} cannot be read as GGUF ({first_line(error)})",
        expected="a whole GGUF file",
        fix="copy or download it again",
    )
