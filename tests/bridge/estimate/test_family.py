"""Weights of forms against marginal likelihoods integrated over theta, the covariance entry by entry."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import norm

from bridge import fit
from bridge.estimate.choice import FAMILY, FIVE, FOUR
from bridge.estimate.family import PER_NUMBER, weighed
from bridge.field.common import Marginal
from bridge.field.curves import Prior, fit_curves
from bridge.field.departures import HYPERPARAMETERS
from bridge.field.likelihood import Matrix
from bridge.search.descent import Box, Point
from tests.oracles import departure_covariance
from toymodel import LossMatrix, cyclic_order

THREE = FAMILY["constant shares, linear link"]
TASKS, EPOCHS = 5, 3


class Idle:
    """A form with one number more, of which the losses say nothing."""

    def __init__(self, form):
        self.form = form

    def losses(self, theta, order):
        return self.form.losses(theta[:-1], order)

    def evaluate(self, theta, order):
        found = self.form.evaluate(theta[:-1], order)
        still = np.zeros((1, *found.jacobian.shape[1:]))
        return replace(found, jacobian=np.concatenate([found.jacobian, still]))


def prior_of(form):
    low, high = form.bounds
    centre, width = (np.array([getattr(t, name) for t in form.terms]) for name in ("centre", "width"))
    return Prior(Box(low, high), centre, width)


def losses(form, values, noise=0.03, seed=0):
    rng = np.random.default_rng(seed)
    theta = np.array([t.free(v) for t, v in zip(form.terms, values, strict=True)])
    shapes = form.losses(theta, cyclic_order(TASKS, EPOCHS))
    return rng.uniform(0.8, 1.2, TASKS) * shapes * (1 + noise * rng.normal(size=shapes.shape))


def fitted(form, values, prior=None, begins=None):
    prior = prior or prior_of(form)
    observed = np.ones(values.shape, dtype=bool)
    matrix = Matrix(values, cyclic_order(TASKS, EPOCHS), np.arange(len(prior.centre)), observed)
    return fit_curves(form, [matrix], prior, begins or form.starts(2))


def all_fits(values):
    return {name: fitted(form, values) for name, form in (("three", THREE), ("four", FOUR), ("five", FIVE))}


@pytest.fixture(scope="module")
def values():
    return losses(FOUR, (0.35, 0.4, 0.5, 0.5), noise=0.1)


@pytest.fixture(scope="module")
def fits(values):
    return all_fits(values)


def weights(fits):
    return {member.name: member.weight for member in weighed(fits)}


class Dense:
    """Twice the negative log posterior of theta, with the covariance of all losses written out.

    The common misfit's size before the first visit, and that after it, are integrated out on fine grids.
    """

    def __init__(self, curves, matrix):
        self.curves, self.cells = curves, matrix.matrix.cells
        whitening, order = matrix.whitening, matrix.matrix.order
        self.count_as_one = curves.variance[0] / matrix.departures.deviation**2
        self.whitening = whitening
        rows = 1 + order.size
        unit = np.eye(rows * TASKS).reshape(-1, rows, TASKS)
        means = whitening.white_means(unit).reshape(len(unit), -1)
        there = self.cells.count.ravel() > 0
        first = np.arange(there.size) < self.cells.lags
        steps = np.linspace(-3, 3, 61)
        self.parts = []
        for group, name, known in (
            (there & first, "common_first", HYPERPARAMETERS[-1]),
            (there & ~first, "common", HYPERPARAMETERS[-2]),
        ):
            to_means = means[:, group].T
            sizes = np.exp(np.clip(known.centre + known.width * steps, known.low, known.high))
            none, one = (
                to_means
                @ departure_covariance(order, replace(matrix.departures, **{name: size}), whitening.level)
                @ to_means.T
                for size in (0.0, 1.0)
            )
            covariances = none + sizes[:, None, None] ** 2 * (one - none)
            logs = norm.logpdf(steps) - 0.5 * np.linalg.slogdet(covariances)[1] / self.count_as_one
            self.parts.append((group, np.linalg.inv(covariances), logs))

    def cost(self, theta):
        means = self.whitening.white_means(self.curves.residual_rows(0, theta)).ravel()
        total = self.curves.prior(theta)
        for group, inverses, logs in self.parts:
            m = means[group]
            total -= 2 * np.logaddexp.reduce(logs - 0.5 * (inverses @ m @ m) / self.count_as_one)
        return total


def judged(fit, judge):
    """The curves of one fit with the covariance of another."""
    curves = replace(
        judge.curves,
        mechanism=fit.mechanism,
        matrices=fit.curves.matrices,
        centre=fit.prior.centre,
        width=fit.prior.width,
    )
    return curves, Dense(curves, judge.matrices[0])


def test_the_misfits_sizes_are_integrated_out_as_of_the_whole_covariance(fits):
    curves, dense = judged(fits["four"], fits["five"])
    marginal = Marginal(curves, [m.departures.deviation for m in fits["five"].matrices])
    rng, best = np.random.default_rng(0), fits["four"].theta
    root = np.linalg.cholesky(fits["four"].covariance)
    there = [best + 2 * root @ rng.normal(size=4) for _ in range(8)]
    ref = np.array([dense.cost(theta) - dense.cost(best) for theta in there])
    comp = [marginal.cost(Point(theta, ())) - marginal.cost(Point(best, ())) for theta in there]
    assert np.ptp(ref) > 5
    assert comp == pytest.approx(ref, abs=0.1)


def log_evidence(fit, judge):
    """Log of the posterior's integral over theta, by quadrature around its own mode."""
    _, dense = judged(fit, judge)
    box = fit.prior.box
    inside = list(zip(box.low, box.high, strict=True))
    mode = minimize(lambda t: 0.5 * dense.cost(t), fit.theta, method="L-BFGS-B", bounds=inside).x
    steps = 0.02 * np.eye(len(mode))
    curvature = np.array([
        [sum(a * b * 0.5 * dense.cost(mode + a * u + b * v) for a in (-1, 1) for b in (-1, 1)) for u in steps]
        for v in steps
    ]) / (4 * 0.02**2)  # fmt: skip
    nodes, weights = np.polynomial.hermite_e.hermegauss(5)
    root = np.linalg.cholesky(np.linalg.inv(curvature))
    logs = []
    for place in itertools.product(range(len(nodes)), repeat=len(root)):
        step = nodes[list(place)]
        theta = mode + root @ step
        if ((theta >= box.low) & (theta <= box.high)).all():
            value = np.log(weights[list(place)]).sum() + 0.5 * step @ step - 0.5 * dense.cost(theta)
            logs.append(value + np.log(np.diag(root)).sum())
    # The cost has the squares of the priors; their densities have widths, too.
    return np.logaddexp.reduce(logs) - np.log(np.sqrt(2 * np.pi) * fit.prior.width).sum()


@pytest.mark.parametrize(
    ("form", "parameters", "noise"),
    [(THREE, (0.35, 0.4, 0.5), 0.03), (FOUR, (0.35, 0.4, 0.5, 0.5), 0.1),
     (FIVE, (0.6, 0.6, 0.3, -0.7, 2.0), 0.03)],
    ids=["three", "four", "five"],
)  # fmt: skip
def test_weights_are_marginal_likelihoods(form, parameters, noise):
    fits = all_fits(losses(form, parameters, noise))
    judge = fits["five"]  # its numbers are most
    ref = np.array([log_evidence(fit, judge) for fit in fits.values()])
    comp = np.log(list(weights(fits).values())) + [PER_NUMBER * len(fit.theta) for fit in fits.values()]
    ref, comp = ref - ref[1], comp - comp[1]
    # Laplace's approximation is at the best theta for the misfit's likeliest sizes. Forms that describe about
    # equally well have that in common; one that does not is judged too hard by as much as a quarter.
    assert np.abs(ref).max() > 1
    assert (np.abs(comp - ref) < 0.4 + np.where(np.abs(ref) > 3, 0.3 * np.abs(ref), 0)).all(), (ref, comp)


@pytest.mark.parametrize("width", [0.2, 1.0, 30.0])
def test_a_number_of_which_the_losses_say_nothing_costs_its_price_whatever_its_prior(values, fits, width):
    known = prior_of(FOUR)
    low, high = np.append(known.box.low, -100.0), np.append(known.box.high, 100.0)
    prior = Prior(Box(low, high), np.append(known.centre, 0.0), np.append(known.width, width))
    more = fitted(Idle(FOUR), values, prior, [np.append(begin, 0.0) for begin in FOUR.starts(2)])
    found = weights({"four": fits["four"], "and one": more})
    assert found["and one"] / found["four"] == pytest.approx(np.exp(-PER_NUMBER), rel=0.01)


def test_weights_are_probabilities_whatever_the_order_of_forms(fits):
    found = weights(fits)
    assert list(found) == list(fits)
    assert sum(found.values()) == pytest.approx(1)
    assert min(found.values()) > 0
    for names in itertools.permutations(fits):
        assert weights({name: fits[name] for name in names}) == pytest.approx(found, rel=1e-9)


def test_of_forms_of_equally_many_numbers_any_may_come_first(values):
    names = ["constant shares, bounded link", "falling slow share, linear link"]
    fits = {name: fitted(FAMILY[name], values) for name in names}
    assert len({len(fit.theta) for fit in fits.values()}) == 1
    assert weights(dict(reversed(fits.items()))) == pytest.approx(weights(fits), rel=1e-9)


def test_one_form_alone_has_all_weight(fits):
    (member,) = weighed({"four": fits["four"]})
    assert (member.name, member.fit, member.weight) == ("four", fits["four"], 1.0)


@pytest.mark.parametrize("unit", [1e-6, 300.0])
def test_weights_do_not_depend_on_the_unit_of_loss(values, unit):
    order = cyclic_order(TASKS, EPOCHS)
    one, other = (fit(LossMatrix(u * values, order), intervals_by="none").family for u in (1.0, unit))
    assert {m.name: m.weight for m in other} == pytest.approx({m.name: m.weight for m in one}, rel=1e-3)
    assert 0.05 < max(m.weight for m in one) < 1


def test_members_are_the_forms_that_were_chosen_from_fitted_to_the_same_losses(values):
    order = cyclic_order(TASKS, EPOCHS)
    without = fit(LossMatrix(values, order), intervals_by="none")
    drawn = fit(LossMatrix(values, order), starts=1)
    assert all(member.fit.draws is None for member in without.family)
    assert any(member.fit.draws is not None for member in drawn.family)
    for found in (without, drawn):
        assert {m.name: m.fit.mechanism for m in found.family} == FAMILY
        assert found.family[0].fit is found.curves
        for member in found.family:
            np.testing.assert_array_equal(member.fit.matrices[0].matrix.values, values / found.unit)
