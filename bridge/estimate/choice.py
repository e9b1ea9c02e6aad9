"""Which of a family of nested forms is fitted: the simplest that predicts held-out epochs, and held-out runs.

A form is as good as what it says of losses that it has not seen. Each is fitted to all but the last epochs
and forecasts them, departures carried on; where several runs share all parameters, each run is also predicted
from the others. Of forms that do so equally well the one with fewest numbers is taken. Where there is nothing
to hold out it is the likeliest (`bridge.estimate.family`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge.estimate.family import weighed
from bridge.field.curves import CurveFit
from bridge.field.outlook import Outlook
from bridge.model.mechanism import Mechanism
from toymodel import LossMatrix
from toymodel.measures.agreement import pooled_r_squared

__all__ = ["FAMILY", "FIVE", "FOUR", "TIE", "Candidate", "Choice", "Seen", "choose_form", "held_out_epochs"]

Floats = NDArray[np.float64]


def _form(drift: str, link: str, sharing: str = "all") -> Mechanism:
    plain: Any = {"drift": drift, "link": link, "sharing": sharing}
    return Mechanism(channels=1, nearness=False, pairs=False, **plain)


FOUR = _form("none", "saturating")
"""u, s, v and the half point, constant over the run."""

FIVE = _form("slow", "saturating")
"""The same with a slow share that falls from epoch to epoch."""

FAMILY: dict[str, Mechanism] = {
    "constant shares, linear link": _form("none", "linear"),
    "constant shares, bounded link": FOUR,
    "constant shares, bounded link, partly shared": _form("none", "saturating", "uniform"),
    "falling slow share, linear link": _form("slow", "linear"),
    "falling slow share, bounded link": FIVE,
    "falling slow share, bounded link, partly shared": _form("slow", "saturating", "uniform"),
    "both shares drifting, bounded link": _form("epoch", "saturating"),
    "both shares drifting, bounded link, partly shared": _form("epoch", "saturating", "uniform"),
}
"""From fewest numbers to most."""

TIE = 0.01
"""R^2 by which a form must be better than a simpler one: less than what seeds of one run differ by."""


@dataclass(frozen=True)
class Candidate:
    """One form of the family.

    Attributes:
        name: in words.
        mechanism: the form.
        parameters: its shared numbers.
        held_out_r2: of losses in held-out epochs; None where there are too few epochs to hold any out.
        held_out_run_r2: of runs predicted from the others; None for a single run, or parameters of its own.
        chosen: whether it is the one.
    """

    name: str
    mechanism: Mechanism
    parameters: int
    held_out_r2: float | None
    held_out_run_r2: float | None = None
    chosen: bool = False

    @property
    def score(self) -> float:
        """Mean of what was held out; minus infinity if nothing was."""
        known = [r for r in (self.held_out_r2, self.held_out_run_r2) if r is not None]
        return float(np.mean(known)) if known else -np.inf


@dataclass(frozen=True)
class Choice:
    """The forms that were tried and the one that is fitted.

    Attributes:
        candidates: all, from fewest numbers to most.
        reason: why the chosen one, in a sentence.
    """

    candidates: tuple[Candidate, ...]
    reason: str

    @property
    def chosen(self) -> Candidate:
        """The one that is fitted."""
        return next(c for c in self.candidates if c.chosen)


def held_out_epochs(epochs: int) -> int:
    """Epochs held out to choose a form: two where three are left to fit, else one, none of two."""
    return min(2, max(epochs - 3, 1)) if epochs > 2 else 0


@dataclass(frozen=True, eq=False)
class Seen:
    """Losses in the unit of a fit, and which of them were observed."""

    losses: LossMatrix
    observed: NDArray[np.bool_]

    def first_epochs(self, count: int) -> Seen:
        """The beginning of the run."""
        part = self.losses.first_epochs(count)
        return Seen(part, self.observed[: len(part.values)])


Fit = Callable[[Mechanism, Sequence[Seen], bool], CurveFit]
"""Fits a form to matrices; with True, all of its parameters are shared."""


def choose_form(
    matrices: Sequence[Seen], fit: Fit, family: Mapping[str, Mechanism] = FAMILY, runs_too: bool = False
) -> Choice:
    """The simplest form that predicts.

    Args:
        matrices: the data.
        fit: fits a form to some of it.
        family: the forms, from fewest numbers to most.
        runs_too: hold out runs as well as epochs: where several share all parameters.
    """
    held = held_out_epochs(min(m.losses.epochs for m in matrices))
    if not held:
        return _likeliest(matrices, fit, family)
    tried = []
    for name, form in family.items():
        known = [m.first_epochs(m.losses.epochs - held) for m in matrices]
        found, pairs = fit(form, known, False), []
        for number, (matrix, part) in enumerate(zip(matrices, known, strict=True)):
            later = slice(len(part.losses.values), None)
            use = matrix.observed[later]
            guess = Outlook(found, number, matrix.losses.order).expectation()[later]
            if use.any():
                pairs.append((matrix.losses.values[later][use], guess[use]))
        runs = pooled_r_squared(_left_out(form, matrices, fit)) if runs_too and len(matrices) > 1 else None
        tried.append(Candidate(name, form, len(form.terms), pooled_r_squared(pairs) if pairs else None, runs))
    best = max(tried, key=lambda c: c.score)
    good = [c for c in tried if c.score >= best.score - TIE]
    simplest = min(good, key=lambda c: (c.parameters, -c.score))
    marked = tuple(replace(c, chosen=c is simplest) for c in tried)
    return Choice(marked, _why(simplest, best, tried))


def _likeliest(matrices: Sequence[Seen], fit: Fit, family: Mapping[str, Mechanism]) -> Choice:
    members = weighed({name: fit(form, matrices, False) for name, form in family.items()})
    best = max(members, key=lambda member: member.weight)
    forms = tuple(
        Candidate(m.name, family[m.name], len(family[m.name].terms), None, chosen=m is best) for m in members
    )
    told = f"of the family it is the likeliest (probability {best.weight:.2f})"
    return Choice(forms, f"two epochs leave none to hold out, so its form is taken unjudged: {told}")


def _why(chosen: Candidate, best: Candidate, tried: Sequence[Candidate]) -> str:
    if chosen.held_out_r2 is None:
        return "no loss of the last epochs is observed, so its form is taken unjudged"
    told = f"chosen by held-out epochs, which it predicts with R^2 {chosen.held_out_r2:.3f}"
    if chosen.held_out_run_r2 is not None:
        told += f" and held-out runs with {chosen.held_out_run_r2:.3f}"
    more = [c.score for c in tried if c.parameters > chosen.parameters]
    if chosen is not best:
        return told + f"; {best.parameters} numbers do so by less than {TIE} better"
    return told + (f"; more numbers do no better (at most {max(more):.3f})" if more else "")


def _left_out(form: Mechanism, matrices: Sequence[Seen], fit: Fit) -> list[tuple[Floats, Floats]]:
    """Every run beside its prediction from the others; scales are its losses before training."""
    pairs = []
    for number, matrix in enumerate(matrices):
        found = fit(form, [m for other, m in enumerate(matrices) if other != number], True)
        values, use = matrix.losses.values, matrix.observed[1:]
        guess = values[0] * form.losses(found.theta, matrix.losses.order)[1:]
        pairs.append((values[1:][use], guess[use]))
    return pairs
