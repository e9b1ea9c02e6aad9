"""The nonlinear parameters of a mechanism: names, meanings, ranges and weak priors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from scipy.special import expit, logit

__all__ = ["Term", "terms_of"]


@dataclass(frozen=True)
class Term:
    """One nonlinear parameter, on its own scale and on the unbounded scale of theta.

    Attributes:
        name: as in reports; with several channels it ends in the channel's number.
        meaning: in words.
        scale: how theta maps to the parameter's own scale: inverse logit, exponential, or not at all.
        low: least value of theta.
        high: largest.
        centre: mean of the weak normal prior on theta.
        width: its standard deviation.
    """

    name: str
    meaning: str
    scale: Literal["logit", "log", "identity"]
    low: float
    high: float
    centre: float
    width: float

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


def terms_of(channels: int, drift: str, link: str, nearness: bool) -> tuple[Term, ...]:
    """Parameters of a form of the mechanism, in the order of theta."""
    terms: list[Term] = []
    for channel in range(1, channels + 1):
        tag, of = (f"_{channel}", f" (channel {channel})") if channels > 1 else ("", "")
        terms += [
            Term(f"unfitted_fraction{tag}", f"part of the residual an episode leaves, u = 1-A-B{of}",
                 "logit", -7, 7, 0.0, 1.5),
            Term(f"slow_share{tag}", f"part of what is fitted that slow weights do, s = A/(A+B){of}",
                 "logit", -7, 7, -1.5, 1.5),
            Term(f"variance_ratio_w{tag}", f"initial variance of w over that of q{of}",
                 "log", -7, 7, -1.0, 1.5),
        ]  # fmt: skip
        if drift != "none":
            unit = "per epoch" if drift == "epoch" else "per unit of log loss"
            # The log of a loss moves by a few units in a run, the epoch by as much.
            terms += [
                Term(f"unfitted_drift{tag}", f"change of logit u {unit}{of}", "identity", -2, 2, 0.0, 0.3),
                Term(f"slow_drift{tag}", f"change of logit s {unit}{of}", "identity", -2, 2, 0.0, 0.3),
            ]
    terms += [
        Term(f"weight_{channel}", f"initial weight of channel {channel} over that of channel 1",
             "log", -5, 5, 0.0, 1.0)
        for channel in range(2, channels + 1)
    ]  # fmt: skip
    if link == "power":
        terms.append(Term("exponent", "p in loss = (squared distance)^p", "log", -2, 3, math.log(2), 0.4))
    if link == "exponential":
        terms.append(Term("rate", "a in loss = (exp(a x) - 1)/(exp(a) - 1) of squared distance x",
                          "log", -3, 2.5, math.log(2), 0.7))  # fmt: skip
    if link == "saturating":
        terms.append(Term("half_point", "relative squared distance at half the largest loss",
                          "log", -5, 5, 0.0, 1.0))  # fmt: skip
    if nearness:
        terms += [
            Term("near_similarity", "similarity of neighbours in the order less that of far documents",
                 "identity", -3, 0.95, 0.0, 0.4),
            Term("reach", "distance in the order over which that falls by e, in episodes",
                 "log", -1, 4, math.log(3), 0.5),
        ]  # fmt: skip
    return tuple(terms)
