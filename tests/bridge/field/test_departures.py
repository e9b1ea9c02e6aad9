"""Departures: the fast form against the covariance entry by entry, and what it expects and draws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.estimate.choice import FOUR
from bridge.field.curves import Prior, fit_curves
from bridge.field.departures import HYPERPARAMETERS, Cells, Departures, Whitening
from bridge.field.likelihood import Matrix, scaled
from bridge.field.outlook import Outlook
from bridge.search.descent import Box
from tests.oracles import departure_covariance
from toymodel import cyclic_order

CYCLIC = cyclic_order(4, 3)
SHUFFLED = np.array([[0, 1, 2, 3], [2, 0, 3, 1], [3, 1, 0, 2]])


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
