"""How much of a log it takes to tell in which order documents came: verdicts on simulated logs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bridge.orders.evidence import HYPOTHESES, order_evidence
from toymodel import InputError

__all__ = ["power", "simulated_log"]

Floats = NDArray[np.float64]


def simulated_log(
    kind: str, documents: int, epochs: int, correlation: float, *, seed: int = 0
) -> tuple[Floats, int, int]:
    """A log with losses that fall, documents of their own difficulty, and noise; for tests and power.

    Args:
        kind: one of `HYPOTHESES`; a displacement is put at a random step of the middle third.
        documents: T.
        epochs: E.
        correlation: between visits of a document, of what is left without the trend.
        seed: of everything random.

    Returns:
        Losses before each step, shape ``(E*T,)``, and step and shift of the displacement (0 where none).
    """
    if kind not in HYPOTHESES or not 0 <= correlation <= 1:
        raise InputError(f"a log of kind {kind!r} with correlation {correlation}",
                         expected="one of " + ", ".join(HYPOTHESES) + ", correlation from 0 to 1",
                         fix="simulated_log('same order', 25, 5, 0.5)")  # fmt: skip
    rng = np.random.default_rng(seed)
    steps = documents * epochs
    time, step, shift = np.arange(steps), 0, 0
    if kind == "displaced":
        step = int(rng.integers(max(documents, steps // 3), max(documents + 1, 2 * steps // 3)))
        shift = int(rng.integers(1, documents))
    order = (time + np.where(time >= step, shift, 0)) % documents
    if kind == "reshuffled":
        order = np.concatenate([rng.permutation(documents) for _ in range(epochs)])
    own = rng.normal(size=documents)[order]
    rest = np.sqrt(correlation) * own + np.sqrt(1 - correlation) * rng.normal(size=steps)
    return np.exp(2 - 1.5 * time / steps + 0.1 * rest), step, shift


def power(
    documents: int, epochs: int, correlations: ArrayLike, *, draws: int = 40, seed: int = 0
) -> dict[str, Floats]:
    """How often each hypothesis is found, with a probability of .95 or more, when it is true.

    Args:
        documents: T.
        epochs: E.
        correlations: between visits of a document, shape ``(n,)``.
        draws: simulated logs for each.
        seed: of the first.

    Returns:
        Parts of the draws by hypothesis, each of shape ``(n,)``.
    """
    values = np.atleast_1d(np.asarray(correlations, dtype=np.float64))
    found = {}
    for kind in HYPOTHESES:
        hits = np.zeros(len(values))
        for n, rho in enumerate(values):
            for draw in range(draws):
                log, _, _ = simulated_log(kind, documents, epochs, float(rho), seed=seed + draw)
                hits[n] += order_evidence(log, documents).verdict == kind
        found[kind] = hits / draws
    return found
