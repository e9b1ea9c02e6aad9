"""Everything that theory says of one problem, without simulating it (docs/theory.md)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toymodel.measures.recovery import RecoveryScore
from toymodel.moments import shares
from toymodel.theory.asymptote import Asymptote, asymptotics, epochs_until, recovery_course
from toymodel.theory.courses import OrderCourse, crossing_epoch, order_course, reshuffled_growth
from toymodel.theory.orders import palindrome
from toymodel.theory.ring import gauge_shares, slow_step_limit, stability_margin
from toymodel.theory.spectrum import coupling, epoch_spectrum, rate_limit

__all__ = ["ORDERS", "Analysis", "analyze_data", "analyze_shares"]

ORDERS = ("cyclic", "palindrome", "reshuffled", "iid")
"""Orders that an analysis sets side by side."""

Progress = Callable[[str, int], object]
# The course of the scores is followed this far to find the epoch from which it stays near its limit; with
# uneven similarity an epoch costs T^3, and so much is spent at most.
_LONGEST, _WORK = 1000, 4e9
_EPOCHS = 5


@dataclass(frozen=True)
class Analysis:
    """Everything that theory says of one problem.

    Attributes:
        tasks: T.
        slow: slow share A; the mean over tasks where they differ.
        fast: fast share B, likewise.
        similarity: mean of G_ij/G_ii between different tasks.
        uneven: standard deviation of G_ij/G_ii between different tasks; 0 where the closed forms are exact.
        ring_slow: A of the orthogonal problem with the same losses (`gauge_shares`).
        ring_fast: B of it.
        eigenvalues: of one epoch, consensus left out, largest modulus first, shape ``(T,)``.
        margin: distance to the edge of the stability region, negative outside; None for uneven similarity.
        size: what `limit` limits, ``"rate"`` or ``"a = rate ||x||^2"``; empty where only shares were given.
        value: its value.
        limit: its largest stable value.
        asymptote: the recovery score approached.
        course: scores of epochs 1, 2, ... of the expected losses from independent q.
        tolerance: what counts as having arrived.
        courses: expected losses of `ORDERS` through five epochs, w = 0 at first; exact for equal similarity,
            else for its mean; empty past the stability limit.
        crossing: epoch past which a fixed order's online loss exceeds a reshuffled one's; None for never.
        growth: factor of the losses per epoch, in the end, by order.
        turning: largest angle by which a leading mode turns per epoch, in circles, by order.
    """

    tasks: int
    slow: float
    fast: float
    similarity: float
    uneven: float
    ring_slow: float
    ring_fast: float
    eigenvalues: NDArray[np.complex128]
    margin: float | None
    size: str
    value: float
    limit: float
    asymptote: Asymptote
    course: list[RecoveryScore]
    tolerance: float
    courses: tuple[OrderCourse, ...]
    crossing: float | None
    growth: dict[str, float]
    turning: dict[str, float]

    @property
    def stable(self) -> bool:
        """Whether no loss grows without bound."""
        return bool(abs(self.eigenvalues[0]) <= 1 + 1e-9)

    @property
    def arrival(self) -> int | None:
        """First epoch from which the score stays within the tolerance of its limit; None if not found."""
        return epochs_until(self.course, self.asymptote.score.value, self.tolerance)


def analyze_shares(
    tasks: int,
    slow: float,
    fast: float,
    *,
    similarity: float = 0.0,
    tolerance: float = 0.01,
    size: str = "",
    value: float = math.nan,
    limit: float = math.nan,
    progress: Progress | None = None,
) -> Analysis:
    """The theory of T uniformly similar tasks from the shares A and B.

    Args:
        tasks: T.
        slow: A.
        fast: B.
        similarity: rho = G_ij/G_ii between different tasks.
        tolerance: distance from the asymptotic recovery score that counts as having arrived.
        size: what the shares came from, for the report.
        value: its value.
        limit: its largest stable value.
        progress: called with what was done and how many epochs of it.
    """
    slow_step_limit(tasks, similarity=similarity)  # judges both
    gram = (1 - similarity) * np.eye(tasks) + similarity
    return _analysis(gram, slow, fast, tolerance, size, value, limit, progress)


def analyze_data(
    gram: NDArray[np.float64],
    rate: float,
    *,
    inner_steps: int = 1,
    fast_rate: float = 1.0,
    tolerance: float = 0.01,
    progress: Progress | None = None,
) -> Analysis:
    """The theory for any Gram matrix and learning rate.

    Args:
        gram: G, shape ``(T, T)``.
        rate: alpha.
        inner_steps: K.
        fast_rate: eta.
        tolerance: as `analyze_shares`.
        progress: likewise.
    """
    if progress is not None:
        progress("stability limit", 0)
    limit = rate_limit(gram, inner_steps=inner_steps, fast_rate=fast_rate)
    a, b = shares(rate * np.diag(gram), fast_rate, inner_steps)
    return _analysis(np.asarray(gram), a, b, tolerance, "rate", rate, limit, progress)


def _analysis(
    gram: NDArray[np.float64],
    slow: float | NDArray[np.float64],
    fast: float | NDArray[np.float64],
    tolerance: float,
    size: str,
    value: float,
    limit: float,
    progress: Progress | None,
) -> Analysis:
    def say(what: str, epochs: int = 0) -> None:
        if progress is not None:
            progress(what, epochs)

    tasks = len(coupling(gram, slow, fast))  # judges all three
    ratio = gram / np.diag(gram)[:, None]
    others = ratio[~np.eye(tasks, dtype=bool)]
    similarity, uneven = float(others.mean()), float(others.std())
    a, b = float(np.mean(slow)), float(np.mean(fast))
    ring_a, ring_b = (float(v) for v in gauge_shares(a, b, similarity))
    say("modes")
    limit_score = asymptotics(gram, slow, fast)
    even = uneven < 1e-12 and np.ptp(slow) < 1e-12 and np.ptp(fast) < 1e-12
    needed = limit_score.epochs(tolerance)
    longest = _LONGEST if even else min(_LONGEST, 10 + int(_WORK / tasks**3))
    # Twice the estimate for the modes, and some: enough to see the score stay where it has arrived.
    epochs = int(min(longest, 10 + 3 * needed)) if math.isfinite(needed) else 10
    eigenvalues = epoch_spectrum(gram, slow, fast)
    both = epoch_spectrum(gram, slow, fast, palindrome(None, tasks))
    growth = {
        "cyclic": float(abs(eigenvalues[0]) ** 2),
        "palindrome": float(abs(both[0])),
        "reshuffled": reshuffled_growth(ring_a, ring_b, tasks),
    }
    stable = abs(eigenvalues[0]) <= 1 + 1e-9
    say("orders")
    course = []
    if limit_score.score:
        course = recovery_course(gram, slow, fast, epochs, progress=lambda done: say("recovery scores", done))
    return Analysis(
        tasks=tasks,
        slow=a,
        fast=b,
        similarity=similarity,
        uneven=0.0 if even else uneven,
        ring_slow=ring_a,
        ring_fast=ring_b,
        eigenvalues=eigenvalues,
        margin=float(stability_margin(ring_a, ring_b, tasks)) if even else None,
        size=size,
        value=value,
        limit=limit,
        asymptote=limit_score,
        course=course,
        tolerance=tolerance,
        courses=tuple(order_course(o, ring_a, ring_b, tasks, _EPOCHS) for o in ORDERS) if stable else (),
        crossing=crossing_epoch(ring_a, ring_b, tasks) if stable else None,
        growth=growth,
        turning={"cyclic": _turn(eigenvalues), "palindrome": _turn(both) / 2},
    )


def _turn(eigenvalues: NDArray[np.complex128]) -> float:
    """Angle of the leading mode, in circles."""
    return float(abs(np.angle(eigenvalues[0])) / (2 * math.pi))
