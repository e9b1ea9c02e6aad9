"""A claim is a statement that data decide: what is measured, and where the measure must lie."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from figures.catalogue import panel
from figures.claims.worlds import NoCounterpart, World
from figures.evidence.lookup import MissingRuns
from figures.evidence.scales import SCALES, Scale

__all__ = ["Claim", "State", "Verdict"]

State = Literal["holds", "does not hold", "not testable here"]
_HOLDS = {"holds": True, "does not hold": False, "not testable here": None}


@dataclass(frozen=True)
class Verdict:
    """What the data say about a claim.

    Attributes:
        state: ``holds`` if every seed says so, else ``does not hold``; ``not testable here`` without data.
        values: the measure by seed; empty if there are none.
        reason: which seeds have no value, or in a word why there are none.
        fix: the command that makes the runs that are missing; empty where none are.
        networks: of which networks.
        settings: of theirs that are not the preset's; empty for none.
    """

    state: State
    values: tuple[float, ...] = ()
    reason: str = ""
    fix: str = ""
    networks: str = ""
    settings: str = ""

    @property
    def holds(self) -> bool | None:
        """The state as a truth value; None where it is not testable."""
        return _HOLDS[self.state]

    @property
    def mean(self) -> float:
        """Of the measure over seeds; NaN without any."""
        return float(np.mean(self.values)) if self.values else math.nan

    @property
    def deviation(self) -> float:
        """Standard deviation over seeds (ddof 1); NaN for fewer than two."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else math.nan

    def __str__(self) -> str:
        if not self.values:
            return self.reason or "no data"
        spread = f" ± {self.deviation:.2f}" if len(self.values) > 1 else ""
        seeds = f"{len(self.values)} seed{'s' * (len(self.values) > 1)}"
        return f"{self.mean:+.2f}{spread} ({seeds})" + (f"; {self.reason}" if self.reason else "")


@dataclass(frozen=True)
class Claim:
    """A statement and what decides it.

    Attributes:
        figure: of the paper.
        statement: what the paper says, so that it can be false.
        measure: what is measured, in words.
        values: by seed, in a world.
        above: the statement holds if the measure is larger than this,
        below: and smaller than this.
    """

    figure: str
    statement: str
    measure: str
    values: Callable[[World], Mapping[int, float]]
    above: float = 0.0
    below: float = math.inf

    @property
    def scales(self) -> Sequence[Scale]:
        """At which the statement makes sense: those of its figure."""
        return tuple(getattr(panel(self.figure), "scales", SCALES))

    def judge(self, world: World) -> Verdict:
        """Measure and decide."""
        try:
            found = self.values(world)
        except MissingRuns as error:
            return Verdict("not testable here", reason="no runs", fix=error.fix)
        except NoCounterpart:
            return Verdict("not testable here", reason="the toy has no counterpart")
        good = tuple(v for v in found.values() if math.isfinite(v))
        lost = len(found) - len(good)
        reason = f"{lost} seed(s) without a recovery score" if lost else ""
        if not good:
            return Verdict("not testable here", reason=reason or "no seed in common")
        holds = all(self.above < v < self.below for v in good)
        return Verdict("holds" if holds else "does not hold", good, reason)
