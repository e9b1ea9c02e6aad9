"""Prior predictive check, the first diagnostic: whether the mechanism can produce such data at all.

Loss matrices drawn from the priors say what the mechanism can produce; where a simple feature of the data
lies outside nearly all of them, a fit may still be found, but not one to believe.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bridge.model.mechanism import Mechanism
from toymodel import LossMatrix, intervals, shift_averaged

__all__ = ["Feature", "features", "prior_predictive_check"]


@dataclass(frozen=True)
class Feature:
    """A feature of the data beside the range of the mechanism's.

    Attributes:
        name: in words.
        value: of the data.
        low: lower end of the middle 99% of matrices drawn from the priors.
        high: upper end.
    """

    name: str
    value: float
    low: float
    high: float

    @property
    def within(self) -> bool:
        """Whether the data lie in the range."""
        return self.low <= self.value <= self.high

    def __str__(self) -> str:
        # As many digits as tell the value from the end that it passes.
        digits, (low, value, high) = 3, (self.low, self.value, self.high)
        while digits < 12 and not self.within and f"{value:.{digits}g}" in (
            f"{low:.{digits}g}", f"{high:.{digits}g}"
        ):  # fmt: skip
            digits += 1
        return f"{self.name} is {value:.{digits}g}; the priors give {low:.{digits}g} to {high:.{digits}g}"


def features(losses: LossMatrix) -> dict[str, float]:
    """Simple features of a loss matrix, all free of the losses' unit."""
    first, last = intervals(losses, 1), intervals(losses, losses.epochs - 1)
    curve = shift_averaged(losses)
    cycle = curve.mean[1 : losses.tasks + 1]
    # Averages over documents: single losses of a real run are too noisy to judge it by.
    whole = curve.mean[curve.count == curve.count.max()]
    start = float(losses.values[0].mean())
    return {
        "least shift-averaged loss over the loss before training": float(whole.min()) / start,
        "largest shift-averaged loss over the loss before training": float(whole.max()) / start,
        "loss right after the first visit over that before training": float(first.after.mean()) / start,
        "peak of the last interval over that of the first": float(last.peak.mean() / first.peak.mean()),
        "rise after the first visit within a tenth of the epoch": float(
            (cycle[max(1, losses.tasks // 10)] - cycle[0]) / max(float(np.ptp(cycle)), 1e-12)
        ),
    }


def prior_predictive_check(
    losses: LossMatrix, mechanism: Mechanism | None = None, draws: int = 200, seed: int = 0
) -> list[Feature]:
    """Features of the data beside their range over draws from the mechanism's priors."""
    form = replace(mechanism or Mechanism(), pairs=False)
    rng = np.random.default_rng(seed)
    found: dict[str, list[float]] = {}
    for _ in range(draws):
        theta = np.array([
            np.clip(rng.normal(t.centre, t.width), t.low, t.high) for t in form.terms
        ])  # fmt: skip
        shapes = form.losses(theta, losses.order)
        if not np.isfinite(shapes).all():
            continue
        for name, value in features(LossMatrix(shapes, losses.order)).items():
            found.setdefault(name, []).append(value)
    result = []
    for name, value in features(losses).items():
        column: NDArray[np.float64] = np.array(found[name])
        low, high = (float(v) for v in np.quantile(column[np.isfinite(column)], [0.005, 0.995]))
        result.append(Feature(name, value if math.isfinite(value) else math.nan, low, high))
    return result
