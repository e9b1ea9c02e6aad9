"""Which order was it? The evidence in a log of losses that documents came again in the same order.

A training log has one loss per step, of the document about to be trained. If documents return in the same
order, what is particular to a document returns at the same place of the next epoch; if they are reshuffled it
does not; if a resumed run skipped or replayed data, it returns displaced from there on. The network enters
only by its trend, which is taken out. The case in point is a loader that starts from its first batch again
whenever a run is resumed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bridge.orders.pairs import FIRST, TREND, Sums, displaced_sums, log_mean, repeated_sums, without_trend
from toymodel import InputError, LossMatrix, online_losses
from toymodel.base.words import arg

__all__ = ["HYPOTHESES", "SURE", "OrderEvidence", "order_evidence", "report"]

Floats = NDArray[np.float64]

HYPOTHESES = ("same order", "reshuffled", "displaced")
"""In the same order throughout; in a new one every epoch; in the same one, but moved at some step: a resumed
run that skipped m of T documents, or, which is the same sequence, went back by T - m."""

SURE = 0.95
"""Probability from which on a hypothesis is a verdict."""
# Pairs to be averaged over rho at a time.
_BLOCK = 4096


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
        return self.likeliest if self.probabilities[self.likeliest] >= SURE else "undecided"

    @property
    def repeats(self) -> float:
        """Probability that documents come again in one order, moved at some step or not."""
        return 1 - self.probabilities["reshuffled"]

    @property
    def began_anew(self) -> bool:
        """Whether the displacement leads to the first document: a loader that started again on resuming."""
        return (self.step + self.shift) % self.documents == 0


def order_evidence(
    log: LossMatrix | ArrayLike,
    documents: int | None = None,
    *,
    progress: Callable[[int], object] | None = None,
) -> OrderEvidence:
    """The evidence for each of `HYPOTHESES` in the losses before each step.

    Within an epoch the trend of the logarithm of the losses (a parabola) is taken out and the rest brought to
    unit variance. Two visits of one document then correlate with some rho, .1 or more, those of different
    documents do not: the likelihood of the pairs that a hypothesis names is averaged over rho, and over where
    and by how much a skip or replay may have been. Pairs with the first epoch, before which nothing was
    trained, have a rho of their own, 0 or more.

    Args:
        log: a loss matrix, whose online losses are taken and whose order is not looked at; or losses before
            each step, shape ``(n,)``.
        documents: steps to the epoch, with a plain log.
        progress: called with the number of steps just tried as places of a displacement.

    Raises:
        InputError: for fewer than two epochs of five documents, losses that are not positive numbers, or an
            epoch in which they follow its trend exactly.
    """
    losses = by_epoch(log, documents)
    epochs, count = losses.shape
    rest = without_trend(np.log(losses))
    for epoch, part in enumerate(rest, start=1):
        if not part.any():
            raise InputError(f"losses of epoch {epoch} that lie on a smooth curve",
                             expected="losses in which documents differ",
                             fix=f"leave epoch {epoch} out")  # fmt: skip
    rest = rest.ravel()
    # The mean over all places: what is looked for in many must stand out in one.
    best, blocks, waiting = (-math.inf, 0, 0, 0.0), [], []
    for place in displaced_sums(rest, count, progress):
        waiting.append(place)
        if len(waiting) * count < _BLOCK and place[0] < rest.size - 3:
            continue
        steps, first, later = zip(*waiting, strict=True)
        values, rhos = _likelihood(Sums.joined(first), Sums.joined(later))
        blocks.append((log_mean(values), values.size))
        top = int(values.argmax())
        if values[top] > best[0]:
            number, shift = divmod(top, count - 1)
            best = float(values[top]), steps[number], shift + 1, float(rhos[top])
        waiting = []
    tried = sum(size for _, size in blocks)
    shares = np.array([mean + math.log(len(blocks) * size / tried) for mean, size in blocks])
    same, rho = (float(v[0]) for v in _likelihood(*repeated_sums(rest, count)))
    found = {"same order": same, "reshuffled": 0.0, "displaced": log_mean(shares)}
    rhos_of = {"same order": rho, "reshuffled": 0.0, "displaced": best[3]}
    likeliest = max(found, key=lambda name: found[name])
    log10 = {name: value / math.log(10) for name, value in found.items()}
    return OrderEvidence(log10, best[1], best[2], rhos_of[likeliest], count, epochs)


def _likelihood(first: Sums, later: Sums) -> tuple[Floats, Floats]:
    """Of alternatives, over independence; correlation of later visits, of the first where none is later."""
    values, rho = first.average(FIRST)
    if not later.pairs.any():
        return values, rho
    others, rho = later.average()
    return values + others, rho


def by_epoch(log: LossMatrix | ArrayLike, documents: int | None) -> Floats:
    """Losses before each step by epoch, positive, shape ``(E, T)``; what is over in the end is left out."""
    if isinstance(log, LossMatrix):
        if documents not in (None, log.tasks):
            raise InputError(f"epochs of {documents} steps for a run of {log.tasks} documents",
                             expected=f"{log.tasks}, which the run knows itself",
                             fix="leave it out")  # fmt: skip
        losses: Floats = online_losses(log)
    else:
        values = np.asarray(log, dtype=np.float64)
        if documents is None or values.ndim != 1:
            raise InputError(f"a log of shape {values.shape} with " + arg("documents", documents),
                             expected="losses before each step, and how many steps an epoch has",
                             fix="order_evidence(losses, documents=25)")  # fmt: skip
        if documents < 1:
            raise InputError(
                f"epochs of {documents} steps", expected="1 step or more", fix=arg("documents", 25)
            )
        losses = values[: len(values) // documents * documents].reshape(-1, documents)
    epochs, count = losses.shape
    if count < TREND + 3:
        raise InputError(f"epochs of {count} documents", expected=f"{TREND + 3} or more",
                         fix="the right number of documents to the epoch")  # fmt: skip
    if epochs < 2:
        raise InputError(f"{epochs} whole epoch{'s' * (epochs != 1)} of {count} documents",
                         expected="2 or more: documents that come again",
                         fix="a longer log, or the right number of documents to the epoch")  # fmt: skip
    check_losses(losses)
    return losses


def check_losses(losses: Floats) -> None:
    """Refuse losses without a logarithm."""
    bad = np.flatnonzero(~(np.isfinite(losses) & (losses > 0)).ravel())
    if len(bad):
        raise InputError(f"a loss of {losses.ravel()[bad[0]]:g} at step {bad[0]} (of {len(bad)} such)",
                         expected="losses above 0, finite", fix="leave those steps out")  # fmt: skip


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
    if evidence.verdict == "undecided" and evidence.repeats >= SURE:
        lines.append(
            f"one order that comes again, with probability {evidence.repeats:.3f}; not whether it moved"
        )
    if evidence.likeliest == "displaced":
        count, step = evidence.documents, evidence.step
        lines.append(
            f"from step {step} on (epoch {step // count + 1}): {evidence.shift} documents skipped, or "
            f"{count - evidence.shift} gone back"
            + (", to the first: a loader that began anew" if evidence.began_anew else "")
        )
    lines.append(f"documents' own part correlates by {evidence.correlation:.2f} between visits")
    return "\n".join(lines)
