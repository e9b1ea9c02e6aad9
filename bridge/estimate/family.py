"""All forms of a family fitted to the same data, each with the weight of what it says: model averaging.

Which form is right a few epochs cannot tell, and forms that describe them equally well part ways in the next
ones: a slow share that falls goes on falling, one that stays does not. A forecast by one of them is right or
wrong with it; their mean, weighted by how likely each makes the data, is wrong by less, and draws from all of
them know that the form is not known (Hoeting et al., Statistical Science 14, 1999).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from bridge.field.common import Marginal
from bridge.field.curves import CurveFit, Prior, fit_curves
from bridge.field.likelihood import Matrix
from bridge.field.posterior import importance
from bridge.search.descent import Point, Stop, descend
from bridge.search.problem import Problem

__all__ = ["PER_NUMBER", "Member", "averaged", "fit_posed", "weighed", "with_draws"]

Floats = NDArray[np.float64]
PER_NUMBER = 1.0
"""What a shared number costs a form in log probability before any data: ties go to fewer numbers."""
# Points of the posterior; with more losses they take seconds, and theta is known well enough to be Gaussian.
_DRAWS, _MOST_DRAWN = 512, 20_000
# A form of less weight is drawn from so seldom that its posterior may as well be Gaussian.
_DRAWN_FROM = 0.01
# Where the covariance is known from another form's fit, and theta's optimum is much the same.
_SEARCHES = 2


@dataclass(frozen=True, eq=False)
class Member:
    """One form of a family.

    Attributes:
        name: in words.
        fit: to the same data as the others.
        weight: probability of the form given the data; 1 over all.
    """

    name: str
    fit: CurveFit
    weight: float


def fit_posed(
    problem: Problem,
    starts: int = _SEARCHES,
    seed: int = 0,
    *,
    begins: Sequence[Floats] = (),
    numbers: Sequence[Floats] | None = None,
) -> CurveFit:
    """Fit what documents share, as posed.

    Args:
        problem: the form, the data and the priors.
        starts: searches.
        seed: of starting points beyond the first.
        begins: where searches begin in place of these.
        numbers: first numbers of the covariances, as in `fit_curves`.
    """
    places = list(begins) or problem.starts(starts, seed)
    data = [Matrix(b.values, b.order, b.index, b.weight > 0) for b in problem.blocks]
    prior = Prior(problem.box, problem.centre, problem.width)
    return fit_curves(problem.mechanism, data, prior, places, numbers)


def with_draws(problem: Problem, found: CurveFit) -> CurveFit:
    """The fit with draws of theta from its posterior, where they say more than its Gaussian form."""
    if problem.observations > _MOST_DRAWN:
        return found
    deviations = [m.departures.deviation for m in found.matrices]
    weighed = Marginal(found.curves, deviations)
    drawn = importance(weighed, found.theta, found.covariance, problem.box, _DRAWS)
    return replace(found, draws=drawn if drawn.enough else None)


def averaged(
    chosen: str, fit: CurveFit, others: Mapping[str, Problem], with_posterior: bool
) -> tuple[Member, ...]:
    """The chosen form, and those that it was chosen from fitted to the same data, with their weights.

    Args:
        chosen: name of the form.
        fit: its fit.
        others: the other forms, posed on the same data, by name.
        with_posterior: draw from the posteriors of others that have weight, too.
    """
    fits = {chosen: fit}
    with threadpool_limits(1, user_api="blas"):
        for name, problem in others.items():
            fits[name] = fit_posed(problem, numbers=fit.numbers)
        return tuple(
            replace(member, fit=with_draws(others[member.name], member.fit))
            if with_posterior and member.name in others and member.weight >= _DRAWN_FROM
            else member
            for member in weighed(fits)
        )


def weighed(fits: Mapping[str, CurveFit]) -> tuple[Member, ...]:
    """Probabilities of forms given the data that they were fitted to.

    Each form's evidence is Laplace's approximation of the marginal likelihood of the cell means, priors of
    theta and the sizes of the common misfit integrated out. One covariance of departures judges all: that of
    the form with most numbers, which leaves least to it; of several such, of the one that leaves least.
    """
    judge = min(
        fits.values(),
        key=lambda fit: (-len(fit.theta), sum(m.departures.deviation**2 for m in fit.matrices)),
    )
    logs = np.array([_evidence(fit, judge) - PER_NUMBER * len(fit.theta) for fit in fits.values()])
    weights = np.exp(logs - logs.max())
    shares = weights / weights.sum()
    return tuple(
        Member(name, fit, float(share)) for (name, fit), share in zip(fits.items(), shares, strict=True)
    )


def _evidence(fit: CurveFit, judge: CurveFit) -> float:
    prior, box = fit.prior, fit.prior.box
    curves = replace(
        judge.curves,
        mechanism=fit.mechanism,
        matrices=fit.curves.matrices,
        centre=prior.centre,
        width=prior.width,
    )
    best = descend(curves, Point(fit.theta, ()), box, Stop(by=1e-3, evaluations=60)).point
    cost = Marginal(curves, [m.departures.deviation for m in judge.matrices]).cost(best)
    normal, free = curves.normal(best), box.high > box.low
    curvature = (normal.information + normal.precision)[np.ix_(free, free)]
    return -0.5 * (cost + float(np.linalg.slogdet(curvature)[1])) - float(np.log(prior.width[free]).sum())
