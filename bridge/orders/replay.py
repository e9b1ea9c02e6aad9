"""Did the sequence begin anew? A log without epochs, of a run that may have been resumed.

A loader that draws batches at random from a fixed seed has no epochs. Resumed, it draws the same batches
again, from the first on, and what is particular to a batch returns as many steps later as the run had made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import uniform_filter1d
from scipy.signal import savgol_filter

from bridge.orders.evidence import SURE, check_losses
from bridge.orders.pairs import TREND, log_mean, restarted_sums
from toymodel import InputError

__all__ = ["ReplayEvidence", "replay_evidence", "report"]

Floats = NDArray[np.float64]

# Steps over which the trend is a parabola, and its residuals have one size; fewest pairs to be looked for.
_WINDOW, _AROUND, _FEWEST = 31, 101, 20


@dataclass(frozen=True)
class ReplayEvidence:
    """What a log says of a sequence that began anew.

    Attributes:
        log10: decimal logarithm of the marginal likelihood that it did, over that it did not.
        step: at which, most likely, counted from 0.
        correlation: of what is particular to a batch, from its first time to its second.
        steps: of the log.
    """

    log10: float
    step: int
    correlation: float
    steps: int

    @property
    def probability(self) -> float:
        """That it began anew, as likely before as not."""
        return 1 / (1 + 10 ** min(-self.log10, 300.0))

    @property
    def verdict(self) -> str:
        """``began anew`` or ``new throughout`` at a probability of .95 or more, else ``undecided``."""
        sure = {"began anew": self.probability, "new throughout": 1 - self.probability}
        return next((name for name, value in sure.items() if value >= SURE), "undecided")


def replay_evidence(log: ArrayLike) -> ReplayEvidence:
    """The evidence that from some step on the batches of the first steps came again.

    The trend of the logarithm of the losses is taken out (parabolas over 31 steps), the rest brought to one
    size over 101 steps; then as in `bridge.orders.pairs`, the mean over all steps at which it may have been.

    Args:
        log: losses before each step, shape ``(n,)``, n at least 62.

    Raises:
        InputError: for a shorter log, or losses that are not positive numbers or follow their trend exactly.
    """
    losses = np.asarray(log, dtype=np.float64)
    if losses.ndim != 1 or losses.size < 2 * _WINDOW:
        raise InputError(f"a log of shape {losses.shape}", expected=f"{2 * _WINDOW} losses or more",
                         fix="a longer log, or how many steps an epoch has")  # fmt: skip
    check_losses(losses)
    logs = np.log(losses)
    rest = logs - savgol_filter(logs, _WINDOW, TREND)
    size = np.sqrt(uniform_filter1d(rest**2, _AROUND, mode="nearest"))
    if not (size > 1e-12 * (1 + np.abs(logs).max())).all():
        raise InputError("losses that lie on a smooth curve", expected="losses in which batches differ",
                         fix="leave that stretch out")  # fmt: skip
    values, rhos = restarted_sums(rest / size, _FEWEST).average()
    best = int(values.argmax())
    return ReplayEvidence(log_mean(values) / math.log(10), _FEWEST + best, float(rhos[best]), losses.size)


def report(evidence: ReplayEvidence) -> str:
    """The evidence in words."""
    lines = [
        f"{evidence.steps} steps, epochs unknown: did the sequence begin anew at some step?",
        f"log10 evidence that it did {evidence.log10:+.1f}, probability {evidence.probability:.3f}",
        f"verdict: {evidence.verdict}",
    ]
    if evidence.log10 > 0:
        lines.append(
            f"most likely at step {evidence.step}: a loader that starts from its first batch when the run is "
            f"resumed, or epochs of {evidence.step} steps in one order; what is particular to a batch "
            f"correlates by {evidence.correlation:.2f}"
        )
    lines.append("with --epoch-length N: whether documents came in the same order in every epoch")
    return "\n".join(lines)
