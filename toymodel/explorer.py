"""The explorer, opened from Python. It lives in `figures`, which is found by name when it is asked for."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

from toymodel.base.errors import InputError

__all__ = ["explore"]

_WHERE = "figures.explorer.commands"


def explore(*runs: object, out: str | os.PathLike[str] = "explorer.html", show: bool = True) -> Path:
    """Write the explorer, one HTML file in which the mechanism moves, and open it in the browser.

    Args:
        runs: what to show beside the toy, the first at once: loss matrices, anything with ``.losses`` (a
            `ToyRun`, a run of `llm`), or paths of run folders and files. Each is fitted, which takes about
            a second. None for the toy and the recorded networks alone.
        out: the HTML file; it needs no network and can be sent to anybody.
        show: open it.

    Returns:
        The file.

    Raises:
        InputError: for runs that cannot be read, or where `figures` is not installed.
    """
    try:
        explorer = importlib.import_module(_WHERE)
    except ModuleNotFoundError as error:
        raise InputError(f"the explorer needs {error.name!r}, which is not installed",
                         expected="the whole of reawaken with its extra llm",
                         fix="pip install 'reawaken[llm]'") from error  # fmt: skip
    path: Path = explorer.open_explorer(runs, Path(out), show=show)
    return path
