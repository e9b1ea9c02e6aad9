"""What a fit refuses, in one line each, before any work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bridge.model.mechanism import MOST_PAIRED, Mechanism
from toymodel import InputError, LossMatrix
from toymodel.base.words import arg, nearest

__all__ = [
    "Bounds",
    "check_bounds",
    "check_data",
    "check_size",
    "choose",
    "misplaced_epochs",
    "trained_place",
    "unknowns",
]

# Of losses of networks the place is below .13, so that of accuracies it would be above .87. What chance
# departures make of losses drawn from the priors seldom is, and in the end they are not higher.
_RISES = 0.85

Bounds = Mapping[str, tuple[float, float]]


def check_data(matrices: Sequence[LossMatrix], observed: Sequence[NDArray[np.bool_]]) -> None:
    """Refuse matrices that no mechanism can be fitted to.

    Raises:
        InputError: for no matrix, different T in a joint fit, one epoch, T = 2, masks of another shape or
            without a loss, losses that are all equal or below 0 in the
            mean, what training raises, and one run given twice.
    """
    if not matrices:
        raise InputError("a fit to no loss matrix", expected="at least one", fix="fit(LossMatrix.load(path))")
    first = matrices[0]
    for number, losses in enumerate(matrices):
        for before, other in enumerate(matrices[:number]):
            rows = min(len(losses.values), len(other.values))
            if losses.tasks == other.tasks and np.array_equal(losses.values[:rows], other.values[:rows]):
                raise InputError(f"runs {before + 1} and {number + 1} with the same losses",
                                 expected="every run once: the same losses twice tell no more than once",
                                 fix=f"leave out run {number + 1}")  # fmt: skip
    for losses, seen in zip(matrices, observed, strict=True):
        if losses.tasks != first.tasks:
            raise InputError(f"a joint fit to runs of {first.tasks} and {losses.tasks} documents",
                             expected="runs of one T: shares per episode mean another thing at another T",
                             fix="fit them one by one")  # fmt: skip
        if losses.tasks < 3:
            raise InputError(f"a fit to {losses.tasks} documents",
                             expected="at least 3: with 2 nothing lies between forgetting and return",
                             fix="train on more documents: " + arg("num_documents", 25))  # fmt: skip
        if losses.epochs < 2:
            raise InputError("a fit to 1 epoch", expected="at least 2 epochs, so that documents return",
                             fix="train for more: " + arg("epochs", 5))  # fmt: skip
        if seen.shape != losses.values.shape or seen.dtype != np.bool_:
            raise InputError(f"observed of {seen.dtype} and shape {seen.shape}",
                             expected=f"bool of the losses' shape {losses.values.shape}",
                             fix="observed = np.ones(losses.values.shape, dtype=bool)")  # fmt: skip
        values = losses.values[seen]
        if not values.size:
            raise InputError(
                "losses that are all held out", expected="some to fit", fix="observed[...] = True"
            )
        # Halves, as the difference of two losses near the largest number is none.
        if float(values.max() / 2 - values.min() / 2) <= 1e-12 * float(np.abs(values).max()):
            raise InputError(
                "losses that are all equal",
                expected="losses that change during training",
                fix="check that the run trained: a larger " + arg("lr") + " or more " + arg("steps"),
            )
        # Single ones, as noise makes them, are told with the result.
        if values.mean() < 0:
            raise InputError(
                f"losses whose mean is {values.mean():.4g}",
                expected="losses, which are not below 0",
                fix="pass -values if they are log-likelihoods, or losses from which nothing was subtracted",
            )
        place = trained_place(losses, seen)
        if place is not None and place > _RISES:
            if len(misplaced_epochs(losses)[1]) > losses.epochs / 2:
                raise InputError(
                    "rows that stand an episode early: the loss that falls most is that of the document "
                    "which is trained next",
                    expected="the losses before training in the first row, those after episode r in row r",
                    fix="np.vstack([before, values[:-1]])",
                )
            if _higher_in_the_end(losses, seen):
                raise InputError(
                    "values that rise most for the document that was just trained, and by training",
                    expected="losses, which fall",
                    fix="pass losses; of accuracies, 1 - values, the part that is wrong",
                )


def _higher_in_the_end(losses: LossMatrix, seen: NDArray[np.bool_]) -> bool:
    """Whether the last epoch's values are above those before training, in the mean of those known."""
    before = losses.values[0][seen[0]]
    after = losses.values[-losses.tasks :][seen[-losses.tasks :]]
    return bool(before.size and after.size and after.mean() > before.mean())


def trained_place(losses: LossMatrix, seen: NDArray[np.bool_] | None = None) -> float | None:
    """Where the document that was just trained stands among all, by the change of its loss in that episode.

    Args:
        losses: one run.
        seen: which losses are known; all if None.

    Returns:
        The mean over episodes: 0 where its loss always falls most, 1/2 as if nobody had been trained in
        this order, 1 where it rises most. None where so few episodes are known whole that the mean of places
        would, by chance alone, be above 3/4 more than about once in a thousand times.
    """
    # Half of each, as the difference of two losses near the largest number is none.
    change, order = np.diff(losses.values / 2, axis=0), losses.order.ravel()
    if seen is not None:
        whole: NDArray[np.bool_] = np.all(seen, axis=1)
        both = whole[1:] & whole[:-1]
        change, order = change[both], order[both]
    if len(change) < 12 * (losses.tasks + 1) / (losses.tasks - 1):
        return None
    own = change[np.arange(len(change)), order][:, None]
    below = (change < own).sum(1) + ((change == own).sum(1) - 1) / 2
    return float(below.mean() / (losses.tasks - 1))


def misplaced_epochs(losses: LossMatrix) -> dict[int, list[int]]:
    """Epochs whose rows stand one episode early (1) or late (-1), counted from 1.

    There the loss that falls most is, in most episodes, that of the document trained next or just before: in
    no epoch of a recorded run is it so in a fifth of them. Of fewer than 8 documents nothing is said.
    """
    most, order = np.diff(losses.values / 2, axis=0).argmin(axis=1), losses.order.ravel()
    found: dict[int, list[int]] = {1: [], -1: []}
    for by, epochs in found.items() if losses.tasks >= 8 else ():
        neighbour = np.roll(order, -by)
        hits = ((most == neighbour) & (neighbour != order)).reshape(losses.order.shape).mean(axis=1)
        epochs += [int(epoch) + 1 for epoch in np.flatnonzero(hits > 0.5)]
    return found


def unknowns(mechanism: Mechanism, tasks: int) -> int:
    """Free numbers of a fit to one matrix; pair correlations are held by their prior and not counted."""
    return len(mechanism.terms) + mechanism.linear_parameters(tasks)


def check_size(mechanism: Mechanism, losses: LossMatrix, count: int) -> None:
    """Refuse more parameters than data, and pairs of more documents than memory holds."""
    if count <= unknowns(mechanism, losses.tasks):
        raise InputError(
            f"{count} losses for {unknowns(mechanism, losses.tasks)} parameters",
            expected="more losses than parameters",
            fix="use more documents or epochs, or Mechanism(channels=1, drift='none', nearness=False, "
            "pairs=False)",
        )
    if mechanism.pairs and losses.tasks > MOST_PAIRED:
        raise InputError(f"pair correlations of {losses.tasks} documents", expected=f"at most {MOST_PAIRED}",
                         fix="Mechanism(pairs=False)")  # fmt: skip


def choose(losses: LossMatrix, count: int, channels: int = 2) -> Mechanism:
    """The fullest form of so many channels that so many losses can bear, ten losses to a parameter."""
    forms = (
        Mechanism(channels=channels),
        Mechanism(channels=channels, pairs=False),
        Mechanism(channels=1, nearness=False, pairs=False),
        Mechanism(channels=1, nearness=False, pairs=False, drift="none"),
    )
    for form in forms:
        too_many = form.pairs and not 6 <= losses.tasks <= MOST_PAIRED
        if not too_many and count >= 10 * unknowns(form, losses.tasks):
            return form
    return forms[-1]


def check_bounds(bounds: Bounds, mechanism: Mechanism) -> dict[str, tuple[float, float]]:
    """Bounds on the scale of theta, by name of the parameter.

    Raises:
        InputError: for a parameter that the mechanism lacks, a low end above the high one, or a range outside
            the parameter's own.
    """
    result = {}
    terms = {term.name: term for term in mechanism.terms}
    for name, (low, high) in bounds.items():
        if name not in terms:
            near = nearest(name, terms)
            raise InputError(f"bounds for {name!r}", expected="one of " + ", ".join(terms), fix=f"{near!r}")
        term = terms[name]
        if not low <= high:
            raise InputError(f"bounds {low} to {high} for {name}", expected="the low end first",
                             fix=f"{name}: ({high}, {low})")  # fmt: skip
        least, most = term.natural(term.low), term.natural(term.high)
        if high < least or low > most:
            raise InputError(f"bounds {low} to {high} for {name}",
                             expected=f"values from {least:.3g} to {most:.3g}",
                             fix=f"{name}: ({least:.3g}, {most:.3g})")  # fmt: skip
        result[name] = (term.free(max(low, least)), term.free(min(high, most)))
    return result
