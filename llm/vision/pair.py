"""Torch and torchvision come in pairs; a wrong pair is said in one line, with the command that mends it."""

from __future__ import annotations

from importlib import metadata

from toymodel.base.errors import InputError
from toymodel.base.words import first_line

__all__ = ["check_pair"]


def check_pair(what: str, *, needed: bool = True) -> None:
    """That torchvision is there and was built for the installed torch.

    Another one breaks in whatever way its compiled part happens to break, and transformers with it.

    Args:
        what: what needs it, for the message.
        needed: False where its absence does no harm.

    Raises:
        InputError: with the command that installs the right one.
    """
    import torch

    version = torch.__version__.partition("+")
    minor = int(version[0].split(".")[1])
    wanted = f"0.{minor + 15}"  # 0.15 came with torch 2.0, and they have kept step since
    install = f"pip install torch=={version[0]} 'torchvision=={wanted}.*'"
    if version[2] == "cpu":  # of this build the registry has no torchvision, and pip would keep it
        install = install.replace("install", "install --force-reinstall")
    expected = f"torchvision {wanted}, the one built for torch {version[0]}"
    try:
        found = metadata.version("torchvision")
    except metadata.PackageNotFoundError as error:
        if not needed:
            return
        raise InputError(what + " without torchvision", expected=expected, fix=install) from error
    if not found.startswith(wanted + "."):
        raise InputError(what + f" with torchvision {found}", expected=expected, fix=install)
    try:
        import torchvision.models  # noqa: F401
    except (ImportError, RuntimeError, OSError, AttributeError) as error:
        reason = first_line(error)
        again = install.replace("install ", "install --force-reinstall ", "--force" not in install)
        raise InputError(what + f": torchvision {found} cannot be loaded ({reason})", expected=expected,
                         fix=again) from error  # fmt: skip
