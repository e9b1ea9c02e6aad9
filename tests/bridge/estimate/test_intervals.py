from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logit

from bridge import Mechanism, fit
from bridge.estimate.bootstrap import bootstrap
from bridge.estimate.choice import FOUR
from bridge.search.uncertainty import combination, correlate, reduce
from tests.bridge.simulated import simulated, truth
from toymodel import InputError, LossMatrix, cyclic_order

ONE = Mechanism(channels=1, nearness=False, pairs=False)


def test_correlating_columns_is_multiplying_by_the_correlation_matrix():
    columns = np.random.default_rng(0).normal(size=(12, 3, 2))
    gaps = np.abs(np.subtract.outer(np.arange(12), np.arange(12)))
    assert np.allclose(correlate(columns, 0.6), np.einsum("ts,sjp->tjp", 0.6**gaps, columns))


def _coverage(draws, tasks, epochs, starts, by):
    hit, given = [], 0
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        theta = truth(ONE, rng)
        losses = simulated(ONE, theta, rng, tasks=tasks, epochs=epochs)
        result = fit(losses, ONE, starts=starts, intervals_by=by)
        for parameter, value in zip(result.parameters, ONE.natural(theta), strict=True):
            given += 1
            if parameter.low is not None:
                hit.append(parameter.low <= value <= parameter.high)
    return float(np.mean(hit)), len(hit) / given


@pytest.mark.slow
def test_intervals_cover_the_truth_as_often_as_they_say():
    covered, with_interval = _coverage(100, 15, 4, 4, "profile")
    assert 0.90 <= covered <= 0.99
    assert with_interval > 0.9


def test_intervals_from_the_curvature_cover_too():
    covered, _ = _coverage(25, 12, 4, 2, "quadratic")
    assert 0.85 <= covered <= 1.0


def test_what_the_data_do_not_say_has_no_interval_and_takes_nobody_elses():
    # Without nearness in the data its reach means nothing.
    form = Mechanism(channels=1, pairs=False)
    rng = np.random.default_rng(2)
    theta = np.array([t.centre for t in form.terms])
    losses = simulated(form, theta, rng, tasks=12, epochs=4)
    result = fit(losses, form, starts=3)
    found = {p.name: p for p in result.parameters}
    assert found["reach"].low is None
    assert "less than the prior" in found["reach"].reason
    assert any("reach" in words for words in result.flat_directions)
    for name in ("unfitted_fraction", "slow_share", "variance_ratio_w", "unfitted_drift"):
        assert found[name].low < found[name].value < found[name].high


def test_a_profile_is_lowest_at_the_estimate_and_crosses_where_the_interval_ends():
    rng = np.random.default_rng(4)
    losses = simulated(ONE, truth(ONE, rng, 0.4), rng, tasks=12, epochs=4)
    result = fit(losses, ONE, starts=3)
    profile = result.profile("unfitted_fraction", points=13)
    parameter = result.parameters[0]
    assert (np.diff(profile.values) > 0).all()
    assert profile.deviance[len(profile.values) // 2] == 0.0
    assert (profile.deviance >= -0.05).all()
    for end in (parameter.low, parameter.high):
        assert np.interp(end, profile.values, profile.deviance) == pytest.approx(3.84, abs=0.8)


def test_correlated_noise_widens_intervals():
    rng = np.random.default_rng(6)
    losses = simulated(ONE, truth(ONE, rng, 0.4), rng, tasks=12, epochs=4)
    result = fit(losses, ONE, starts=2, intervals_by="none")
    white = replace(result.noise, correlation=0.0)
    ref = np.diag(reduce(result.problem, result.solution, white).covariance)
    comp = np.diag(reduce(result.problem, result.solution, result.noise).covariance)
    assert (comp > ref).mean() > 0.5


def test_the_bootstrap_scatters_about_the_fit():
    rng = np.random.default_rng(8)
    losses = simulated(ONE, truth(ONE, rng, 0.4), rng, tasks=12, epochs=4)
    result = fit(losses, ONE, starts=2, intervals_by="none")
    draws = bootstrap(result, 12, seed=1)
    assert draws.shape == (12, len(ONE.terms))
    value, spread = result.parameters[0].value, draws[:, 0].std()
    assert 0 < spread < 0.2
    assert abs(draws[:, 0].mean() - value) < 3 * spread
    assert np.array_equal(draws, bootstrap(result, 12, seed=1))
    with pytest.raises(InputError, match="draws=0"):
        bootstrap(result, 0)


def test_half_samples_scatter_as_fits_to_other_documents_do():
    rng = np.random.default_rng(2)
    order = cyclic_order(16, 3)
    shapes = FOUR.losses(
        np.array([t.free(v) for t, v in zip(FOUR.terms, (0.4, 0.4, 0.5, 1.0), strict=True)]), order
    )

    def another():
        # Each document's own share of what is off, the same at every lag: what scales can't take.
        own = rng.normal(0, 0.1, (1, 16)) * shapes * (1 - shapes)
        losses = 7 * (shapes + own) + rng.normal(0, 0.1, shapes.shape)
        return fit(LossMatrix(losses, order), FOUR, starts=1, intervals_by="none")

    results = [another() for _ in range(16)]
    ref = np.std([r.solution.theta[0] for r in results])
    halves = [logit(bootstrap(r, 8, seed=3)[:, 0]).std() for r in results[:6]]
    assert 0.4 < np.median(halves) / ref < 2.5


def test_combinations_name_their_largest_parts_first():
    assert combination(np.array([0.05, -0.8, 0.6]), ("a", "b", "c")) == "+0.80 b -0.60 c"
