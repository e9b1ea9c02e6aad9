"""Loss by lag: cyclic orders cancel what is common to all tasks; other orders recover nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toymodel import LossMatrix
from toymodel.measures.lag import lag_profile
from toymodel.measures.schedules import schedule


def forgetting(kind, T=12, E=40, seed=0):
    """Losses that depend on the lag alone: forgetting towards 1, without any anticipation."""
    order = schedule(kind, T, E, seed)
    last = np.full(T, -10.0 * T)
    rows = [np.ones(T)]
    for row, task in enumerate(order.ravel(), start=1):
        last[task] = row
        rows.append(1 - np.exp(-(row - last) / 4))
    return LossMatrix(np.array(rows), order)


@given(st.integers(2, 9), st.integers(2, 5), st.integers(0, 2**32))
def test_profiles_are_means_over_tasks_and_time(T, E, seed):
    rng = np.random.default_rng(seed)
    losses = LossMatrix(rng.random((1 + E * T, T)), np.tile(rng.permutation(T), (E, 1)))
    comp = lag_profile(losses)
    flat = list(losses.order.ravel())
    for lag in range(T):
        ref = [losses.values[t, flat[t - 1 - lag]] for t in range(T + 1, 1 + E * T)]
        assert comp.mean[lag] == pytest.approx(np.mean(ref))
        assert comp.count[lag] == len(ref)


@given(st.integers(0, 2**32), st.floats(0, 100))
def test_what_moves_all_tasks_together_cancels(seed, size):
    rng = np.random.default_rng(seed)
    order = np.tile(np.arange(5), (4, 1))
    values = rng.random((21, 5))
    moved = values + size * rng.normal(size=(21, 1))
    first, second = (lag_profile(LossMatrix(v, order)) for v in (values, moved))
    np.testing.assert_allclose(
        second.mean - second.mean[0], first.mean - first.mean[0], atol=1e-10 * (1 + size)
    )


@pytest.mark.parametrize("kind", ["cyclic", "reshuffled", "iid"])
def test_plain_forgetting_recovers_nothing_in_any_order(kind):
    found = lag_profile(forgetting(kind))
    np.testing.assert_allclose(found.mean, 1 - np.exp(-np.arange(12) / 4))
    assert found.recovered == 0


@pytest.mark.parametrize("kind", ["palindrome", "spaced"])
def test_where_no_lag_is_that_of_a_return_it_says_so(kind):
    found = lag_profile(forgetting(kind))
    assert np.isnan(found.recovered)
    assert "after 2 epochs" in found.reason
    np.testing.assert_allclose(found.mean, 1 - np.exp(-np.arange(12) / 4))


def test_recovery_is_the_part_won_back():
    order = np.tile(np.arange(4), (3, 1))
    by_lag = np.array([0.0, 3.0, 4.0, 1.0])
    lag = (np.arange(13)[:, None] - 1 - np.arange(4)) % 4
    assert lag_profile(LossMatrix(by_lag[lag], order)).recovered == 0.75
    flat = LossMatrix(np.ones((13, 4)), order)
    assert np.isnan(lag_profile(flat).recovered)
