import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.judge.curves import lag_curves, means_by_visit_and_lag, r_squared_of_curves
from toymodel import LossMatrix, cyclic_order


def drawn(seed, tasks=5, epochs=3, cyclic=False):
    rng = np.random.default_rng(seed)
    order = (
        cyclic_order(tasks, epochs) if cyclic else np.array([rng.permutation(tasks) for _ in range(epochs)])
    )
    return LossMatrix(rng.uniform(1, 9, (1 + order.size, tasks)), order)


def by_hand(losses):
    """Losses by visits so far and episodes since the last one, by going through the run."""
    found = {}
    visits, since = [0] * losses.tasks, [0] * losses.tasks
    for row, values in enumerate(losses.values):
        if row:
            trained = losses.order.ravel()[row - 1]
            for task in range(losses.tasks):
                since[task] = 0 if task == trained else since[task] + 1
            visits[trained] += 1
        for task in range(losses.tasks):
            found.setdefault((visits[task], since[task]), []).append(values[task])
    return found


@given(seed=st.integers(0, 2**32 - 1))
def test_means_are_those_of_going_through_the_run(seed):
    losses = drawn(seed)
    mean, count = means_by_visit_and_lag(losses.order, losses.values)
    ref = by_hand(losses)
    assert {(n, s) for n, s in zip(*np.nonzero(count), strict=True)} == set(ref)
    for (n, s), values in ref.items():
        assert count[n, s] == len(values)
        assert mean[n, s] == pytest.approx(np.mean(values))
    assert np.isnan(mean[count == 0]).all()


def test_a_cyclic_run_has_one_curve_an_epoch():
    curves = lag_curves(drawn(1, cyclic=True))
    assert curves.mean.shape == (3, 5)
    assert (curves.count[:2] == 5).all()
    assert curves.count[2].tolist() == [5, 4, 3, 2, 1]


def test_one_visit_of_two_documents_has_lags_that_are_not_there():
    curves = lag_curves(LossMatrix(np.ones((3, 2)), np.array([[0, 1]])))
    assert curves.count.tolist() == [[2, 1]]


def test_what_documents_do_not_share_does_not_count():
    losses = drawn(2, tasks=8, epochs=4, cyclic=True)
    curves = lag_curves(losses)
    assert r_squared_of_curves(curves, curves) == 1.0
    right_after_second = (1 + 8 + np.arange(8), np.arange(8))
    for departure, shared in ((np.ones(8), True), (np.linspace(-5, 5, 8), False)):
        values = np.array(losses.values)
        values[right_after_second] += departure
        found = r_squared_of_curves(curves, lag_curves(LossMatrix(values, losses.order)))
        assert found < 0.999 if shared else found == pytest.approx(1.0)
