"""The runs that a figure or a claim asks for, or the command that makes them."""

from __future__ import annotations

from collections.abc import Sequence

from figures.evidence.collection import Runs
from figures.evidence.groups import Family, Member
from figures.evidence.scales import SCALES, Scale
from llm.presets import family, member
from llm.reproduce import sweep_command
from toymodel.base.errors import InputError

__all__ = ["MissingRuns", "find", "find_member"]


class MissingRuns(InputError):
    """A figure has no runs to be drawn from; the fix is the command that makes them."""


def find(
    runs: Runs,
    figure: str,
    name: str,
    scales: Sequence[Scale] = SCALES,
    probes: Sequence[str] | None = None,
) -> list[Family]:
    """The runs of a family of presets at every scale that has any.

    Args:
        runs: to look in.
        figure: for which.
        name: of the family.
        scales: at which it makes sense.
        probes: that the runs must have; those of the presets if None.

    Raises:
        MissingRuns: when no scale has any.
    """
    found = runs.families(name, scales, probes)
    if not found:
        raise MissingRuns(f"figure {figure}: no run of preset family {name} in any of its forms",
                          expected=f"finished runs of {name}, at any scale",
                          fix=_command(name, scales))  # fmt: skip
    return found


def find_member(
    runs: Runs, figure: str, name: str, label: str, scale: Scale, probes: Sequence[str] | None = None
) -> Member:
    """The runs of one member of a family at one scale.

    Raises:
        MissingRuns: when there are none, or only of another experiment.
    """
    found = runs.family(name, scale, probes)
    if found and found.same_experiment and (one := found.only(label)):
        return one.members[0]
    form = found.form if found else ""
    raise MissingRuns(f"figure {figure}: no run of preset {member(name, label).name}{form}",
                      expected="its finished run, with its probes",
                      fix=sweep_command(found.name) if found else _command(name, (scale,)))  # fmt: skip


def _command(name: str, scales: Sequence[Scale]) -> str:
    small = "-small" if family(name)[0].config.task == "language" else "-embedded"
    laptop = f" (on a laptop: {name}{small})" if "small" in scales else ""
    return sweep_command(name) + laptop
