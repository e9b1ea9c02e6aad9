"""What follows from fitted shares by theory: stability, transport, the recovery that training approaches."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bridge.estimate.result import FitResult
from toymodel import RecoveryScore, asymptotics, epoch_spectrum, recovery_scores, stability_margin, transport

__all__ = ["Implication", "implications", "next_epoch"]

_DIFFUSES = RecoveryScore(math.nan, "solutions diffuse, and what they are moved by is not won back")


@dataclass(frozen=True)
class Implication:
    """The theory's account of one channel at one epoch's shares (docs/theory.md, sections 5 to 8).

    Attributes:
        channel: from 1.
        slow: A.
        fast: B.
        margin: stability margin of orthogonal data, the smallest of A, 2-A-B and B + A/T.
        radius: spectral radius of an epoch with the fitted similarity; above 1 losses would grow. As
            transport and recovery it is of directions that all documents train: others settle sooner.
        transport: positions by which the pattern of the q moves along the ring in an epoch.
        recovery: score of squared distances that training at these shares would approach; none where
            solutions diffuse, which end in a state of their own.
    """

    channel: int
    slow: float
    fast: float
    margin: float
    radius: float
    transport: float
    recovery: RecoveryScore


def implications(result: FitResult, epoch: int | None = None, dataset: int = 0) -> list[Implication]:
    """What follows from each channel's shares in an epoch (the last if None)."""
    data = result.datasets[dataset]
    number = data.epochs - 1 if epoch is None else epoch
    ratio, _ = result.mechanism.similarity(result.theta(dataset), data.order)
    gram = ratio[min(number, len(ratio) - 1)] if len(ratio) else np.eye(data.tasks)
    # Theory numbers tasks as an epoch visits them.
    visited = np.asarray(data.order[min(number, data.epochs - 1)])
    whole = len(set(visited.tolist())) == data.tasks
    order = visited if whole else np.arange(data.tasks)
    found = []
    for channel, (a, b) in enumerate(result.shares(number, dataset), start=1):
        found.append(
            Implication(
                channel,
                a,
                b,
                float(stability_margin(a, b, data.tasks)),
                float(np.abs(epoch_spectrum(gram, a, b, order)[0])),
                transport(a, b, data.tasks),
                _DIFFUSES if result.mechanism.diffusion else asymptotics(gram, a, b, order=order).score,
            )
        )
    return found


def next_epoch(result: FitResult, dataset: int = 0) -> RecoveryScore:
    """The recovery score that the fit predicts for one epoch more than it saw."""
    data = result.datasets[dataset]
    return recovery_scores(result.predict(epochs=data.epochs + 1, dataset=dataset))[-1]
