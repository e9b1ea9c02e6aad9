"""Which order was it? The evidence in a log of losses that documents came again in the same order.

A training log has one loss per step, of the document about to be trained. If documents return in the same
order, what is particular to a document returns at the same place of the next epoch; if they are reshuffled it
does not; if a resumed run skipped or replayed data, it returns displaced from there on. The network enters
only by its trend, which is taken out. The case in point is a loader that starts from its first batch again
whenever a run is resumed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toymodel import InputError, LossMatrix, online_losses

__all__ = ["HYPOTHESES", "OrderEvidence", "order_evidence", "power", "read_log", "report", "simulated_log"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

HYPOTHESES = ("same order", "reshuffled", "displaced")
"""In the same order throughout; in a new one every epoch; in the same one, but moved at some step: a resumed
run that skipped m of T documents, or, which is the same sequence, went back by T - m."""

# Correlations of what is particular to a document between its visits, over which the evidence is averaged. A
# log of some hundred steps cannot tell weaker ones from none.
_CORRELATIONS = np.linspace(0.1, 0.98, 45)
_TREND = 2  # degree of an epoch's own trend
_SURE = 0.95


@dataclass(frozen=True)
class OrderEvidence:
    """What a log says of the order.

    Attributes:
        log10: decimal logarithm of each hypothesis' marginal likelihood over that of ``reshuffled``.
        step: from which on, counted from 0, a displacement is most likely.
        shift: by how many documents ahead, 1 to T - 1; T less it is how far back.
        correlation: of what is particular to a document, from one visit to the next, in the most likely
            hypothesis (its mean over the evidence).
        documents: to the epoch.
        epochs: whole ones, that were read.
    """

    log10: dict[str, float]
    step: int
    shift: int
    correlation: float
    documents: int
    epochs: int

    @property
    def probabilities(self) -> dict[str, float]:
        """Of the hypotheses, equally likely before."""
        top = max(self.log10.values())
        weights = {name: 10 ** (value - top) for name, value in self.log10.items()}
        return {name: weight / sum(weights.values()) for name, weight in weights.items()}

    @property
    def likeliest(self) -> str:
        """The hypothesis of most evidence."""
        return max(self.log10, key=lambda name: self.log10[name])

    @property
    def verdict(self) -> str:
        """The likeliest hypothesis if its probability is .95 or more, else ``undecided``."""
        return self.likeliest if self.probabilities[self.likeliest] >= _SURE else "undecided"

    @property
    def began_anew(self) -> bool:
        """Whether the displacement leads to the first document: a loader that started again on resuming."""
        return (self.step + self.shift) % self.documents == 0


def order_evidence(log: LossMatrix | ArrayLike, documents: int | None = None) -> OrderEvidence:
    """The evidence for each of `HYPOTHESES` in the losses before each step.

    Within an epoch the trend of the logarithm of the losses (a parabola) is taken out and the rest brought to
    unit variance. Two visits of one document then correlate with some rho, .1 or more, those of different
    documents do not: the likelihood of the pairs that a hypothesis names is averaged over rho, and over where
    and by how much a skip or replay may have been.

    Args:
        log: a loss matrix, whose online losses are taken and whose order is not looked at; or losses before
            each step, shape ``(n,)``.
        documents: steps to the epoch, with a plain log.

    Raises:
        InputError: for fewer than two epochs of five documents, or losses that are not positive numbers.
    """
    if isinstance(log, LossMatrix):
        losses = online_losses(log)
    else:
        values = np.asarray(log, dtype=np.float64)
        if documents is None or values.ndim != 1:
            raise InputError(f"a log of shape {values.shape} with documents={documents}",
                             expected="losses before each step, and how many steps an epoch has",
                             fix="order_evidence(losses, documents=25)")  # fmt: skip
        losses = values[: len(values) // max(documents, 1) * documents].reshape(-1, documents)
    epochs, count = losses.shape
    if epochs < 2 or count < _TREND + 3:
        raise InputError(
            f"{epochs} epochs of {count} documents",
            expected=f"2 or more, of {_TREND + 3} or more",
            fix="a longer log, or the right number of documents to the epoch",
        )
    if not (np.isfinite(losses).all() and (losses > 0).all()):
        raise InputError("losses that are not positive numbers", expected="losses above 0",
                         fix="leave those steps out")  # fmt: skip
    rest = _without_trend(np.log(losses)).ravel()
    same, correlation = _evidence(rest, _last_visits(rest.size, count, 0, 0))
    # The mean over all places: what is looked for in many must stand out in one.
    places = list(_displacements(rest.size, count))
    tried = [_evidence(rest, _last_visits(rest.size, count, *place)) for place in places]
    best = int(np.argmax([value for value, _ in tried]))
    displaced = _log_mean(np.array([value for value, _ in tried]))
    found = {"same order": same, "reshuffled": 0.0, "displaced": displaced}
    rhos = {"same order": correlation, "reshuffled": 0.0, "displaced": tried[best][1]}
    top = max(found, key=lambda name: found[name])
    log10 = {name: value / math.log(10) for name, value in found.items()}
    return OrderEvidence(log10, *places[best], rhos[top], count, epochs)


def _without_trend(values: Floats) -> Floats:
    """Each epoch less its parabola, at unit variance."""
    place = np.linspace(-1, 1, values.shape[1])
    basis, _ = np.linalg.qr(np.vander(place, _TREND + 1))
    rest = values - values @ basis @ basis.T
    deviation = rest.std(1, keepdims=True)
    result: Floats = np.where(deviation > 0, rest / np.where(deviation > 0, deviation, 1), 0.0)
    return result


def _displacements(steps: int, count: int) -> Iterator[tuple[int, int]]:
    """Steps at which the order may have moved, and by how much: from the second epoch on."""
    for step in range(count, steps - 2):
        for shift in range(1, count):
            yield step, shift


def _last_visits(steps: int, count: int, step: int, shift: int) -> Integers:
    """For each step the one that had the same document last, or -1; from `step` on the order is moved."""
    time = np.arange(steps)
    document = (time + np.where(time >= step, shift, 0)) % count
    ranked = np.argsort(document, kind="stable")  # by document, then by time
    before = np.full(steps, -1)
    follows = document[ranked[1:]] == document[ranked[:-1]]
    before[ranked[1:][follows]] = ranked[:-1][follows]
    return before


def _evidence(rest: Floats, before: Integers) -> tuple[float, float]:
    """Natural logarithm of the likelihood of pairs over that of independence, averaged over rho; its mean."""
    now = np.flatnonzero(before >= 0)
    x, y = rest[before[now]], rest[now]
    xx, xy, yy = float(x @ x), float(x @ y), float(y @ y)
    rho = _CORRELATIONS
    left = 1 - rho**2
    logs = -0.5 * len(now) * np.log(left) - 0.5 * ((yy - 2 * rho * xy + rho**2 * xx) / left - yy)
    weights = np.exp(logs - logs.max())
    return _log_mean(logs), float((weights * rho).sum() / weights.sum())


def _log_mean(logs: Floats) -> float:
    top = float(logs.max())
    return top + math.log(float(np.exp(logs - top).mean()))


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


def read_log(path: Path, documents: int | None) -> LossMatrix | Floats:
    """A run, a loss matrix, or with `documents` a plain log: text with one loss to the line, the last number.

    Raises:
        InputError: for a line without a number.
    """
    if documents is None or path.is_dir() or path.suffix in (".npz", ".npy"):
        return LossMatrix.load(path)
    if not path.is_file():
        raise InputError(f"there is no log {str(path)!r}", expected="text, one loss to the line",
                         fix="check the path")  # fmt: skip
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        words = line.replace(",", " ").split()
        try:
            found.append(float(words[-1]))
        except (IndexError, ValueError):
            if number == 1 or not words:  # a heading, or an empty line
                continue
            raise InputError(
                f"line {number} of {str(path)!r} is {line[:40]!r}",
                expected="a loss as its last word",
                fix="keep the losses alone",
            ) from None
    return np.array(found)


def report(evidence: OrderEvidence) -> str:
    """The evidence in words, one hypothesis to the line."""
    lines = [
        f"order of {evidence.documents} documents through {evidence.epochs} epochs, "
        "from the losses before each step alone",
        f"{'':<12}{'log10 evidence':>16}{'probability':>13}",
    ]
    for name, probability in evidence.probabilities.items():
        lines.append(f"{name:<12}{evidence.log10[name]:>+16.1f}{probability:>13.3f}")
    lines.append(f"verdict: {evidence.verdict}")
    if evidence.likeliest == "displaced":
        count, step = evidence.documents, evidence.step
        lines.append(
            f"from step {step} on (epoch {step // count + 1}): {evidence.shift} documents skipped, or "
            f"{count - evidence.shift} gone back"
            + (", to the first: a loader that began anew" if evidence.began_anew else "")
        )
    lines.append(f"documents' own part correlates by {evidence.correlation:.2f} between visits")
    return "\n".join(lines)
