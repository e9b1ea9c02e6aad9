"""Departures: the fast form against the covariance entry by entry, and what it expects and draws."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.estimate.choice import FOUR
from bridge.field.curves import Prior, fit_curves
from bridge.field.departures import HYPERPARAMETERS, Cells, Departures, Whitening
from bridge.field.likelihood import Matrix, scaled
from bridge.field.outlook import Outlook
from bridge.field.posterior import Draws
from bridge.search.descent import Box
from tests.oracles import departure_covariance
from toymodel import cyclic_order

CYCLIC = cyclic_order(4, 3)
SHUFFLED = np.array([[0, 1, 2, 3], [2, 0, 3, 1], [3, 1, 0, 2]])

DRAWS = 1500


def _free(rng):
    return np.array([np.clip(rng.normal(h.centre, h.width), h.low, h.high) for h in HYPERPARAMETERS])


def _level(cells, rng):
    return rng.uniform(0.2, 1.0, cells.count.shape)


@pytest.mark.parametrize("order", [CYCLIC, SHUFFLED], ids=["cyclic", "shuffled"])
@given(seed=st.integers(0, 10_000))
def test_the_fast_likelihood_is_that_of_the_covariance(order, seed):
    rng = np.random.default_rng(seed)
    cells, departures = Cells(order), Departures.of(_free(rng))
    level = _level(cells, rng)
    whitening = Whitening(cells, departures, level)
    dense = departure_covariance(order, departures, level)
    values = rng.normal(size=(1 + order.size, order.shape[1]))
    ref = values.ravel() @ np.linalg.solve(dense, values.ravel()), np.linalg.slogdet(dense)[1]
    mean, deviation = whitening.split(whitening.white(values))
    comp = float((deviation**2).sum() + (whitening.independent(mean) ** 2).sum()), whitening.log_determinant()
    assert comp == pytest.approx(ref, rel=1e-6, abs=1e-6)


@given(seed=st.integers(0, 10_000))
def test_scales_are_generalised_least_squares(seed):
    rng = np.random.default_rng(seed)
    cells, departures = Cells(CYCLIC), Departures.of(_free(rng))
    level = _level(cells, rng)
    shapes, tasks = rng.uniform(0.2, 1.0, (13, 4)), 4
    values = rng.uniform(1, 2, tasks) * shapes + 0.01 * rng.normal(size=shapes.shape)
    design = np.zeros((values.size, tasks))
    for j in range(tasks):
        design[j::tasks, j] = shapes[:, j]
    inverse = np.linalg.inv(departure_covariance(CYCLIC, departures, level))
    ref = np.linalg.solve(design.T @ inverse @ design, design.T @ inverse @ values.ravel())
    matrix = Matrix(values, CYCLIC, np.arange(4), np.ones(values.shape, dtype=bool))
    comp = scaled(matrix, Whitening(cells, departures, level), shapes).scales
    assert comp == pytest.approx(ref, rel=1e-5)


def _fitted(rng, epochs=2, seen=None):
    order = cyclic_order(4, epochs)
    theta = np.array([-0.5, 0.3, -0.5, 0.0])
    shapes = FOUR.losses(theta, order)
    values = rng.uniform(0.8, 1.0, 4) * shapes * (1 + 0.05 * rng.normal(size=shapes.shape))
    observed = np.ones(values.shape, dtype=bool) if seen is None else seen
    low, high = FOUR.bounds
    centre, width = (np.array([getattr(t, name) for t in FOUR.terms]) for name in ("centre", "width"))
    return fit_curves(FOUR, [Matrix(values, order, np.arange(4), observed)], Prior(Box(low, high), centre,
    width),
                      FOUR.starts(1))  # fmt: skip


@pytest.mark.parametrize("further", [cyclic_order(4, 4), np.concatenate([cyclic_order(4, 2), SHUFFLED[1:2]])],
                         ids=["repeats", "goes on in another order"])  # fmt: skip
def test_what_is_expected_is_the_conditional_mean(further):
    fit = _fitted(np.random.default_rng(5))
    found, rows = fit.matrices[0], 9 * 4
    cells = Cells(further)
    shapes = FOUR.losses(fit.theta, further)
    level = cells.mean(found.scales * shapes) / found.matrix.values[0].mean()
    known = Cells(found.matrix.order, cells.lags)
    level[: known.visits + 1] = np.where(
        known.count > 0,
        known.mean(found.matrix.values) / found.matrix.values[0].mean(),
        level[: known.visits + 1],
    )
    dense = departure_covariance(further, found.departures, level)
    residual = (found.matrix.values - found.scales * found.shapes).ravel()
    ref = (found.scales * shapes).ravel()
    if cells.repeats:  # else no cell comes again
        ref[rows:] += dense[rows:, :rows] @ np.linalg.solve(dense[:rows, :rows], residual)
    ref[:rows] = found.matrix.values.ravel()
    assert Outlook(fit, 0, further).expectation().ravel() == pytest.approx(ref, rel=1e-6, abs=1e-8)


def test_draws_go_through_what_was_seen_and_scatter_about_the_expectation():
    fit = _fitted(np.random.default_rng(2), epochs=3)
    outlook = Outlook(fit, 0, cyclic_order(4, 5))
    draws = outlook.sample(400, np.random.default_rng(0))
    assert np.ptp(draws[:, :13], axis=0).max() < 1e-9
    centre, spread = draws[:, 13:].mean(0), draws[:, 13:].std(0)
    assert (
        np.abs((centre - outlook.expectation()[13:]) / spread).max() < 0.8
    )  # theta is uncertain, losses not linear
    assert (spread > 0).all()


def _at(fit, **changes):
    """The fit with theta known for sure and its matrix changed."""
    sure = Draws(fit.theta[None], np.ones(1))
    return replace(fit, draws=sure, matrices=(replace(fit.matrices[0], **changes),))


def _agree(draws, mean, covariance):
    """What so many draws have of a mean and a covariance, within 5 standard errors."""
    error = np.sqrt(np.diag(covariance))
    assert np.abs((draws.mean(0) - mean) / error).max() < 5 / np.sqrt(len(draws))
    off = (np.cov(draws.T) - covariance) / np.outer(error, error)
    assert np.abs(off).max() < 5 * np.sqrt(2 / len(draws))


def test_draws_are_those_of_the_conditional_distribution():
    """Of losses with scales of which nothing is known before (universal kriging)."""
    fit = _fitted(np.random.default_rng(7), epochs=2)
    found, rows, further = fit.matrices[0], 9 * 4, cyclic_order(4, 3)
    shapes = FOUR.losses(fit.theta, further)
    level = Cells(further).mean(found.scales * shapes) / found.matrix.values[0].mean()
    known = found.matrix.cells.count > 0
    level[: len(known)] = np.where(known, found.matrix.level, level[: len(known)])
    dense = departure_covariance(further, found.departures, level)
    design = (shapes[:, :, None] * np.eye(4)).reshape(-1, 4)
    to_later = dense[rows:, :rows] @ np.linalg.inv(dense[:rows, :rows])
    gram = design[:rows].T @ np.linalg.solve(dense[:rows, :rows], design[:rows])
    left = design[rows:] - to_later @ design[:rows]
    ref = dense[rows:, rows:] - to_later @ dense[:rows, rows:] + left @ np.linalg.solve(gram, left.T)
    draws = Outlook(_at(fit), 0, further).sample(DRAWS, np.random.default_rng(0))
    mean = Outlook(fit, 0, further).expectation()
    _agree(draws.reshape(DRAWS, -1)[:, rows:], mean.ravel()[rows:], ref)
    error = np.sqrt(np.diag(ref))  # what was seen says something of them
    assert np.abs((dense[rows:, rows:] - ref) / np.outer(error, error)).max() > 0.3


def test_draws_anew_are_those_of_scales_and_departures():
    fit, order = _fitted(np.random.default_rng(7)), cyclic_order(4, 2)
    spread = 0.02**2 * (np.eye(4) + 0.5)
    found = _at(fit, scale_covariance=spread)
    shapes, scales = fit.matrices[0].shapes, fit.matrices[0].scales
    design = (shapes[:, :, None] * np.eye(4)).reshape(-1, 4)
    level = Cells(order).mean(scales * shapes) / fit.matrices[0].matrix.values[0].mean()
    ref = departure_covariance(order, fit.matrices[0].departures, level) + design @ spread @ design.T
    draws = Outlook(found, 0, order, anew=True).sample(DRAWS, np.random.default_rng(0))
    _agree(draws.reshape(DRAWS, -1), (scales * shapes).ravel(), ref)


def test_no_loss_is_drawn_below_0():
    fit = _fitted(np.random.default_rng(7))
    wild = _at(fit, departures=replace(fit.matrices[0].departures, deviation=2.0))
    drawn = Outlook(wild, 0, cyclic_order(4, 3)).sample(20, np.random.default_rng(0))
    assert drawn.min() == 0


@given(st.integers(0, 2**32 - 1))
def test_missing_losses_leave_the_determinant_of_the_others(seed):
    """Against the covariance of a document's losses, written out, without the rows of those missing."""
    rng = np.random.default_rng(seed)
    cells = Cells(CYCLIC)
    departures = Departures(0.5, rng.uniform(1, 20), rng.uniform(0.05, 0.9), 0.5, 1.5, 0.4, 1.0)
    whitening = Whitening(cells, departures, rng.uniform(0.2, 1.0, cells.count.shape))
    missing = cells.mask & (rng.uniform(size=cells.mask.shape) < 0.3)
    ref = 0.0
    for document, there in enumerate(cells.mask):
        columns = whitening.columns(document, there)
        covariance = np.linalg.inv(columns.T @ columns)
        kept = ~missing[document][there]
        ref += np.linalg.slogdet(covariance[np.ix_(kept, kept)])[1]
    whole = 2 * float((whitening.log_size * cells.count).sum())
    assert whole + whitening.log_missing(missing) == pytest.approx(ref, rel=1e-6, abs=1e-6)


def test_losses_not_observed_are_those_that_the_others_make_likely():
    rng = np.random.default_rng(3)
    seen = np.ones((9, 4), dtype=bool)
    seen[[3, 6], [1, 2]] = False
    fit = _fitted(rng, seen=seen)
    found = fit.matrices[0]
    level, residual = found.matrix.level, found.matrix.values - found.scales * found.shapes
    mean = found.matrix.cells.mean(residual)
    own = residual - found.matrix.cells.rows(np.broadcast_to(mean, (4, *mean.shape)))
    shifted = own.copy()
    white = found.whitening.white
    least = float((white(own) ** 2).sum())
    for step in (-0.02, 0.02):
        shifted[3, 1] = own[3, 1] + step
        assert float((white(shifted) ** 2).sum()) > least
    assert np.isfinite(level).all()
