"""How much of a log it takes to tell in which order documents came: verdicts on simulated logs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bridge.orders.evidence import HYPOTHESES, OrderEvidence, order_evidence
from toymodel import InputError

__all__ = ["displaced", "power", "restarted_log", "simulated_log", "told"]

Floats = NDArray[np.float64]


def displaced(steps: int, documents: int, step: int, shift: int) -> NDArray[np.int64]:
    """Documents of a sequence that comes again every epoch and moves by `shift` at `step`, shape ``(n,)``."""
    time = np.arange(steps)
    return np.asarray((time + np.where(time >= step, shift, 0)) % documents, dtype=np.int64)


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
    step, shift = 0, 0
    if kind == "displaced":
        step = int(rng.integers(max(documents, steps // 3), max(documents + 1, 2 * steps // 3)))
        shift = int(rng.integers(1, documents))
    order = displaced(steps, documents, step, shift)
    if kind == "reshuffled":
        order = np.concatenate([rng.permutation(documents) for _ in range(epochs)])
    own = rng.normal(size=documents)[order]
    rest = np.sqrt(correlation) * own + np.sqrt(1 - correlation) * rng.normal(size=steps)
    return np.exp(2 - 1.5 * np.arange(steps) / steps + 0.1 * rest), step, shift


def told(
    documents: int, epochs: int, correlation: float, *, draws: int = 40, seed: int = 0
) -> dict[str, list[OrderEvidence]]:
    """The evidence in simulated logs, by what they are.

    Args:
        documents: T.
        epochs: E.
        correlation: between visits of a document.
        draws: simulated logs of each of `HYPOTHESES`.
        seed: of the first.
    """
    return {
        kind: [
            order_evidence(
                simulated_log(kind, documents, epochs, correlation, seed=seed + draw)[0], documents
            )
            for draw in range(draws)
        ]
        for kind in HYPOTHESES
    }


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
    found = [
        told(documents, epochs, float(rho), draws=draws, seed=seed)
        for rho in np.atleast_1d(np.asarray(correlations, dtype=np.float64))
    ]
    return {
        kind: np.array([np.mean([log.verdict == kind for log in one[kind]]) for one in found])
        for kind in HYPOTHESES
    }


def restarted_log(
    steps: int, correlation: float, *, restarted: bool = True, seed: int = 0
) -> tuple[Floats, int]:
    """A log without epochs whose batches are all new, or come again from the first on after a resume.

    Args:
        steps: n.
        correlation: between the two times of a batch, of what is left without the trend.
        restarted: whether it was resumed, at a random step of the middle third.
        seed: of everything random.

    Returns:
        Losses before each step, shape ``(n,)``, and the step (0 where none).
    """
    rng = np.random.default_rng(seed)
    time = np.arange(steps)
    step = int(rng.integers(steps // 3, 2 * steps // 3)) if restarted else 0
    batch = np.where(time >= step, time - step, time) if restarted else time
    rest = np.sqrt(correlation) * rng.normal(size=steps)[batch]
    rest += np.sqrt(1 - correlation) * rng.normal(size=steps)
    return np.exp(2 - 1.5 * time / steps + 0.1 * rest), step
