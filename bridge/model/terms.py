"""The nonlinear parameters of a mechanism: names, meanings, ranges, weak priors, and places in theta."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

__all__ = [
    "DIFFUSION",
    "DRIFTS",
    "EVEN",
    "INTERFERENCE",
    "NEARNESS",
    "SHARED",
    "SHARES",
    "WEIGHT",
    "Layout",
    "Term",
]


@dataclass(frozen=True)
class Term:
    """One nonlinear parameter, on its own scale and on the unbounded scale of theta.

    Attributes:
        kind: what it is; several channels have one of a kind each.
        meaning: in words.
        scale: how theta maps to the parameter's own scale: inverse logit, exponential, or not at all.
        low: least value of theta.
        high: largest.
        centre: mean of the weak normal prior on theta.
        width: its standard deviation.
        channel: whose it is, from 1; 0 where all channels share it, or there is only one.
    """

    kind: str
    meaning: str
    scale: Literal["logit", "log", "identity"]
    low: float
    high: float
    centre: float
    width: float
    channel: int = 0

    @property
    def name(self) -> str:
        """As in reports; with several channels it ends in the channel's number."""
        return f"{self.kind}_{self.channel}" if self.channel else self.kind

    def of(self, channel: int) -> Term:
        """The same parameter of one channel of several."""
        return replace(self, channel=channel, meaning=f"{self.meaning} (channel {channel})")

    def natural(self, theta: float) -> float:
        """The parameter in its own units."""
        if self.scale == "logit":
            return float(expit(theta))
        return math.exp(theta) if self.scale == "log" else float(theta)

    def free(self, value: float) -> float:
        """Its place on the scale of theta."""
        if self.scale == "logit":
            return float(logit(value))
        return math.log(value) if self.scale == "log" else float(value)


SHARES = (
    Term("unfitted_fraction", "part of the residual an episode leaves, u = 1-A-B", "logit", -7, 7, 0.0, 1.5),
    Term("slow_share", "part of what is fitted that slow weights do, s = A/(A+B)", "logit", -7, 7, -1.5, 1.5),
    Term("variance_ratio_w", "initial variance of w over that of q", "log", -7, 7, -1.0, 1.5),
)
"""Every channel's own."""

EVEN = tuple(replace(term, centre=0.0) if term.kind == "slow_share" else term for term in SHARES)
"""The same where they explain: as likely more slow than fast work as less."""

# The log of a loss moves by a few units in a run, the epoch by as much.
DRIFTS = {
    unit: (
        Term("unfitted_drift", f"change of logit u {words}", "identity", -2, 2, 0.0, 0.3),
        Term("slow_drift", f"change of logit s {words}", "identity", -2, 2, 0.0, 0.3),
    )
    for unit, words in (("epoch", "per epoch"), ("loss", "per unit of log loss"))
} | {
    "none": (),
    # Plain descent: the slow share alone falls, at the same rate for every size of network.
    "slow": (Term("slow_drift", "change of logit s per epoch", "identity", -2, 2, 0.0, 0.5),),
}
"""Those of channels whose shares move, by what they move with."""

WEIGHT = Term("weight", "initial weight over that of channel 1", "log", -5, 5, 0.0, 1.0)
"""Of every channel but the first."""

NEARNESS = (
    Term("near_similarity", "similarity of neighbours in the order less that of far documents",
         "identity", -3, 0.95, 0.0, 0.4),
    Term("reach", "distance in the order over which that falls by e, in episodes",
         "log", -1, 4, math.log(3), 0.5),
)  # fmt: skip
"""Of similarity that depends on distance in the order."""


INTERFERENCE = Term("interference", "variance of documents' similarity by chance, some 1/N in N dimensions",
                    "log", -9, 0, math.log(0.01), 1.5)  # fmt: skip
"""Of documents that are similar by chance."""

DIFFUSION = Term("diffusion", "squared random step of a solution, over its variance, when another is trained",
                 "log", -12, 0, math.log(0.001), 1.5)  # fmt: skip
"""Of solutions that are moved at random by steps that do not shrink."""

SHARED = Term("shared_fraction", "mean part of the documents that train a direction of w",
              "logit", -3, 5, 0.0, 1.0)  # fmt: skip
"""Of directions that only some of the documents train."""


class Layout:
    """The parameters of one form in the order of theta, found by what they are.

    Args:
        channels: independent sets of dimensions.
        drift: with what shares move: ``none``, ``slow``, ``epoch`` or ``loss``.
        link: the link's parameter, if it has one.
        shares: every channel's own parameters.
        beyond: further ones that all channels share.
    """

    def __init__(
        self,
        channels: int,
        drift: str,
        link: Term | None,
        shares: tuple[Term, ...] = SHARES,
        beyond: tuple[Term, ...] = (),
    ) -> None:
        each = (*shares, *DRIFTS[drift])
        numbers = range(1, channels + 1)
        terms = list(each) if channels == 1 else [term.of(n) for n in numbers for term in each]
        terms += [WEIGHT.of(n) for n in numbers[1:]]
        terms += [link] if link is not None else []
        terms += beyond
        self.terms: tuple[Term, ...] = tuple(terms)
        self._place = {(term.kind, term.channel): p for p, term in enumerate(terms)}

    def __len__(self) -> int:
        return len(self.terms)

    def place(self, kind: str, channel: int = 0) -> int | None:
        """Where a parameter stands: the channel's own, else the one that all share; None if there is none."""
        return self._place.get((kind, channel), self._place.get((kind, 0)))

    def value(self, theta: NDArray[np.float64], kind: str, channel: int = 0) -> float:
        """A component of theta; 0 where the form has no such parameter."""
        at = self.place(kind, channel)
        return 0.0 if at is None else float(theta[at])
