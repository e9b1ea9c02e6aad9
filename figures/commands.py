"""``reawaken figures``: the figures of the paper, and those of the theory, as PNG and vector PDF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tyro

from toymodel.errors import InputError

__all__ = ["COMMANDS", "figures"]


def figures(
    names: tyro.conf.Positional[tuple[str, ...]] = (),
    runs: Path | None = None,
    out: Path = Path("out/figures"),
    formats: tuple[str, ...] = ("png", "pdf"),
) -> None:
    """Draw figures and write each as PNG and vector PDF.

    Args:
        names: figures to draw, e.g. 10 11 theory; all of them if none are named.
        runs: folder of network runs, for the figures that need them.
        out: folder for the files, made if it is not there.
        formats: kinds of file to write.
    """
    from figures.gallery import FIGURES, choose, render
    from figures.style import FORMATS, save_figure

    for name in formats:
        if name not in FORMATS:
            raise InputError(
                f"format {name!r}", expected="some of " + ", ".join(FORMATS), fix="--formats png pdf"
            )
    if runs is not None and not runs.is_dir():
        raise InputError(
            f"--runs {runs} is no folder", expected="a folder of run folders", fix="check the path"
        )
    if out.exists() and not out.is_dir():
        raise InputError(
            f"--out {out} is a file", expected="a folder, or a new name", fix=f"--out {out}-figures"
        )
    for name in choose(names, runs):
        stem = f"fig{name}" if name[0].isdigit() else name
        for path in save_figure(render(name, runs), out / stem, formats):
            print(f"{path}   {FIGURES[name].title}")


COMMANDS: dict[str, Any] = {"": figures}
