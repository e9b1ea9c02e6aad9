"""What a sweep will run and how long that takes, before it is started."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from tqdm import tqdm

from llm.config import RunConfig
from llm.cost.estimate import Estimate, duration, estimate
from llm.cost.shape import shape
from llm.launch.batch import side_by_side
from llm.runs.folder import RunFolder
from llm.runs.show import table
from toymodel.base.errors import InputError

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
    unknown: dict[RunConfig, InputError] = {}
    kinds = dict.fromkeys(shape(config) for config in configs)
    for kind in tqdm(kinds, desc="counting work", leave=False, disable=None, file=sys.stderr):
        try:
            found[kind] = estimate(kind)
        except InputError as error:  # its architecture is not here, for example
            unknown[kind] = error
    least = most = 0.0
    known = 0
    for group in side_by_side(configs, together):
        if (one := found.get(shape(group[0]))) is not None:
            low, high = one.together(len(group))
            least, most, known = least + low, most + high, known + len(group)
    left = len(configs) - known
    why = f"; of {left} more not known: {next(iter(unknown.values()))}" if unknown else ""
    if not known:
        return f"time    not known: {next(iter(unknown.values()))}"
    times = duration(least) if least == most else f"{duration(least)} to {duration(most)}"
    how = next(iter(found.values())).how if len(found) == 1 else "arithmetic, as in the estimate of each run"
    if least != most:
        how += f"; {together} side by side were not measured yet: as long as one at best, turns at worst"
    runs = "1 run" if known == 1 else f"{known} runs"
    return f"time    about {times} for {runs}, training and evaluation, one process ({how}){why}"
