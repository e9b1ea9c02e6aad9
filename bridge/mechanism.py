"""The mechanism: a loss matrix predicted from the extended toy model's identifiable parameters.

``L_tj = c + k_j l_tj(theta)`` with l the expected loss of the moment model on orthogonal data (uniform
similarity is no parameter of its own: it only rescales the shares). An episode leaves the fraction
u = 1-A-B of its task's residual, and the slow weights do the part s = A/(A+B) of what is fitted; both may
drift by epoch, linearly on the logit scale. The variance of the initial q is absorbed by the scales k_j, so
only the ratio v of the fast weights' initial variance to it remains. c and k_j enter linearly and are solved
for inside every evaluation (variable projection).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from toymodel import share_losses

__all__ = ["Mechanism"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Mechanism:
    """Which form of the model is fitted.

    Attributes:
        drift: let the unfitted fraction and the slow share drift by epoch (2 more parameters).
        scale_per_document: a scale k_j for each document instead of one for all.
    """

    drift: bool = True
    scale_per_document: bool = True

    @property
    def name(self) -> str:
        """How reports call it."""
        drift = "shares drift by epoch" if self.drift else "constant shares"
        scale = "a scale per document" if self.scale_per_document else "one scale"
        return f"slow and fast weights, {drift}, one floor, {scale}"

    @property
    def names(self) -> tuple[str, ...]:
        """Nonlinear parameters, in the order of theta."""
        base = ("unfitted_fraction", "slow_share", "variance_ratio_w")
        return (*base, "unfitted_drift", "slow_drift") if self.drift else base

    @property
    def meanings(self) -> tuple[str, ...]:
        """One line for each parameter."""
        base = (
            "part of the residual an episode leaves, u = 1-A-B (first epoch)",
            "part of what is fitted that the slow weights do, s = A/(A+B) (first epoch)",
            "initial variance of w over that of q",
        )
        return (*base, "change of logit u per epoch", "change of logit s per epoch") if self.drift else base

    @property
    def bounds(self) -> tuple[Floats, Floats]:
        """Box for theta; wide enough that a bound reached means the data say nothing more."""
        low, high = [-9.0, -9.0, -9.0], [9.0, 9.0, 9.0]
        if self.drift:
            low, high = [*low, -3.0, -3.0], [*high, 3.0, 3.0]
        return np.array(low), np.array(high)

    @property
    def starts(self) -> list[Floats]:
        """Starting points: shares from mostly fast to mostly slow, and w from certain to uncertain."""
        drift = [0.0, 0.0] if self.drift else []
        return [
            np.array([logit(u), logit(s), np.log(v), *drift])
            for u, s, v in ((0.25, 0.5, 1.0), (0.1, 0.15, 10.0), (0.4, 0.8, 0.1), (0.1, 0.5, 100.0))
        ]

    def natural(self, theta: Floats) -> Floats:
        """Parameters in their own units from the unbounded scale; increasing in each."""
        values = np.array(theta, dtype=np.float64)
        values[:2] = expit(values[:2])
        values[2] = np.exp(values[2])
        return values

    def shares(self, theta: Floats, epochs: int) -> tuple[Floats, Floats]:
        """Slow and fast share (A, B) of every epoch, each of shape ``(E,)``."""
        epoch = np.arange(epochs)
        du, ds = (theta[3], theta[4]) if self.drift else (0.0, 0.0)
        fitted = expit(-(theta[0] + du * epoch))
        slow = expit(theta[1] + ds * epoch)
        return fitted * slow, fitted * (1 - slow)

    def shapes(self, theta: Floats, order: NDArray[np.int64]) -> Floats:
        """Losses l before scale and floor, shape ``(1 + E*T, T)``."""
        slow, fast = self.shares(theta, len(order))
        return share_losses(slow, fast, order, variance_q=1.0, variance_w=float(np.exp(theta[2])))

    def solve_linear(self, shapes: Floats, values: Floats) -> tuple[float, Floats]:
        """Floor c and scales k_j that fit `values` best, in closed form; neither may be below 0.

        A loss is a squared distance times a scale: a floor below 0 would stand for losses that cannot be, and
        buys its R^2 by flattening the rise and fall between visits that the mechanism is there to explain.
        """
        rows, tasks = shapes.shape
        if not self.scale_per_document:
            flat = shapes.ravel()
            c, k = _line(flat, values.ravel())
            if c < 0:
                c, k = 0.0, max(float(flat @ values.ravel() / (flat @ flat)), 0.0)
            return c, np.full(tasks, k)
        square = (shapes**2).sum(0)
        first, cross = shapes.sum(0), (shapes * values).sum(0)
        # Eliminating every k_j = (cross - c first)/square leaves one equation for c.
        denominator = rows * tasks - (first**2 / square).sum()
        c = max(float((values.sum() - (first * cross / square).sum()) / denominator), 0.0)
        return c, np.maximum((cross - c * first) / square, 0.0)

    def predict(self, theta: Floats, order: NDArray[np.int64], floor: float, scales: Floats) -> Floats:
        """The predicted losses, shape ``(1 + E*T, T)``."""
        return floor + scales * self.shapes(theta, order)


def _line(x: Floats, y: Floats) -> tuple[float, float]:
    centred = x - x.mean()
    k = max(float(centred @ y / (centred @ centred)), 0.0)
    return float(y.mean() - k * x.mean()), k
