"""``reawaken explore``: the explorer as one HTML file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from toymodel.base.files import check_output

if TYPE_CHECKING:
    from figures.explorer.shown import ShownRun

__all__ = ["COMMANDS", "explore", "open_explorer", "write_explorer"]


def write_explorer(path: str | Path, runs: Sequence[ShownRun] = ()) -> Path:
    """Write the explorer with the recorded runs and `runs` before them, the first of which it opens with.

    Args:
        path: the HTML file.
        runs: `figures.explorer.ShownRun` objects.
    """
    from figures.explorer.build import explorer_html
    from figures.explorer.fits import EXAMPLES, recorded_runs
    from toymodel.base.files import atomic_write

    where = Path(path)
    check_output(where, suffixes=(".html",))
    state = f"#run={runs[0].id}" if runs else ""
    own = {run.id for run in runs}
    others = [run for run in recorded_runs() if run.id not in own]  # a recorded run may be given, too
    page = explorer_html([*runs, *others], examples=EXAMPLES, state=state)
    with atomic_write(where, "w") as file:
        file.write(page)
    return where


def open_explorer(runs: Sequence[object], out: Path, *, show: bool) -> Path:
    """What `toymodel.explore` does."""
    import webbrowser

    from figures.explorer.shown import named

    check_output(out, suffixes=(".html",), name="out")
    path = write_explorer(out, named(runs))
    if show:
        webbrowser.open(path.resolve().as_uri())
    return path


def explore(run: tuple[Path, ...] = (), out: Path = Path("explorer.html")) -> None:
    """Write the explorer: one HTML file in which the toy moves, with networks and your own run beside it.

    Args:
        run: Runs to put into it: run folders, .npz or .npy; the first is shown when the page opens.
        out: The HTML file.
    """
    from figures.explorer.shown import load_shown

    check_output(out, suffixes=(".html",))
    path = write_explorer(out, load_shown(run))
    print(f"wrote {path} ({path.stat().st_size / 1e6:.2f} MB); open it in any browser, it needs no network")


COMMANDS: dict[str, Callable[..., None]] = {"": explore}
