"""What a sweep will run and how long that takes, before it is started."""

from __future__ import annotations

import os
from collections.abc import Sequence

from llm.config import RunConfig
from llm.cost.estimate import Estimate, duration, estimate
from llm.cost.shape import shape
from llm.launch.batch import side_by_side
from llm.runs.folder import RunFolder
from llm.runs.show import table

__all__ = ["preview"]


def preview(configs: Sequence[RunConfig], out: str | os.PathLike[str], together: int = 1) -> str:
    """A line for each run and its state, and one for the time that those which are not finished take.

    Args:
        configs: the runs.
        out: the folder of the run folders.
        together: runs of one shape side by side.
    """
    root = os.fspath(out)
    left = [config for config in configs if not RunFolder(os.path.join(root, config.id)).finished]
    lines = [table(configs, out)]
    if left:
        lines.append(_time(left, together))
    return "\n".join(lines)


def _time(configs: Sequence[RunConfig], together: int) -> str:
    found: dict[RunConfig, Estimate] = {}
    least = most = 0.0
    for group in side_by_side(configs, together):
        kind = shape(group[0])
        if kind not in found:
            found[kind] = estimate(kind)
        low, high = found[kind].together(len(group))
        least, most = least + low, most + high
    times = duration(least) if least == most else f"{duration(least)} to {duration(most)}"
    how = next(iter(found.values())).how if len(found) == 1 else "arithmetic, as with llm run --dry-run"
    if least != most:
        how += f"; {together} side by side were not measured yet: as long as one at best, turns at worst"
    return f"time    about {times} for {len(configs)} runs, training and evaluation, one process ({how})"
