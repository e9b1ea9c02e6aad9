"""Expected losses under orders that are drawn: against sums over all orders, and against simulations."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from toymodel import (
    InputError,
    LossMatrix,
    coupling,
    crossing_epoch,
    cyclic_order,
    difference_losses,
    gauge_shares,
    iid_losses,
    online_loss,
    order_course,
    reshuffled_growth,
    reshuffled_losses,
    schedule,
    share_losses,
)

shares = st.tuples(st.floats(0.05, 1.0), st.floats(0.05, 0.95), st.floats(0, 2))


@given(shares, st.integers(2, 4))
def test_reshuffled_is_the_mean_over_all_orders(problem, T):
    a, b, vw = problem
    E = 2
    comp = reshuffled_losses(a, b, T, E, variance_w=vw)
    sums = np.zeros_like(comp)
    orders = list(itertools.product(itertools.permutations(range(T)), repeat=E))
    for order in orders:
        losses = share_losses(a, b, np.array(order), variance_w=vw)
        for epoch, tasks in enumerate(order):
            sums[epoch] += losses[epoch * T : (epoch + 1) * T + 1, list(tasks)]
    np.testing.assert_allclose(comp, sums / len(orders), rtol=1e-10, atol=1e-12)


def test_reshuffled_against_simulation():
    T, E, runs = 8, 3, 3000
    mean = reshuffled_losses(0.3, 0.6, T, E, variance_w=1.0)[:, -1].mean(1)
    ends = np.array([
        share_losses(0.3, 0.6, schedule("reshuffled", T, E, seed), variance_w=1.0)[T::T].mean(1)
        for seed in range(runs)
    ])  # fmt: skip
    error = ends.std(0, ddof=1) / np.sqrt(runs)
    assert (np.abs(ends.mean(0) - mean)[1:] < 4 * error[1:]).all()
    assert mean[0] == pytest.approx(ends[0, 0])  # the first epoch's end is the same in every order


@given(shares, st.integers(2, 6), st.floats(0, 0.8))
def test_growth_of_reshuffled_losses(problem, T, rho):
    a, b, vw = problem
    course = order_course("reshuffled", 0.5 * a, b, T, 60, variance_w=vw, similarity=rho)
    growth = reshuffled_growth(0.5 * a, b, T, similarity=rho)
    assume(course.end[-1] > 1e-250)
    assert course.end[-1] / course.end[-2] == pytest.approx(growth, rel=1e-4)


@given(shares, st.integers(2, 3), st.integers(0, 2**32 - 1))
def test_iid_is_the_mean_over_all_orders_for_any_similarity(problem, T, seed):
    a, b, _ = problem
    x = np.random.default_rng(seed).normal(size=(T, T + 1))
    G = x @ x.T
    C, e = coupling(G, a, b), np.random.default_rng(seed + 1).normal(size=(T, 2))
    D = e @ e.T
    comp = iid_losses(D, C, 1)
    orders = list(itertools.product(range(T), repeat=T))
    ref = np.mean([difference_losses(D, C, np.array([order])) for order in orders], axis=0)
    np.testing.assert_allclose(comp, ref, rtol=1e-10, atol=1e-12)


@given(shares, st.integers(2, 6))
def test_iid_of_exchangeable_tasks(problem, T):
    a, b, vw = problem
    rows = iid_losses(np.eye(T) + vw, coupling(np.eye(T), a, b), 3).mean(1)
    course = order_course("iid", a, b, T, 3, variance_w=vw)
    np.testing.assert_allclose(course.end, rows[T::T], rtol=1e-9)
    np.testing.assert_allclose(course.online, rows[:-1].reshape(3, T).mean(1), rtol=1e-9)


@pytest.mark.parametrize("kind", ["cyclic", "palindrome", "spaced", "middle-shuffled", "locally-reversed"])
def test_courses_of_given_orders(kind):
    order = schedule(kind, 6, 4, 3)
    losses = LossMatrix(share_losses(0.3, 0.6, order, variance_w=0.5), order)
    for course in (
        order_course(kind, 0.3, 0.6, 6, 4, variance_w=0.5, seed=3),
        order_course(order, 0.3, 0.6, 6, 4, variance_w=0.5),
    ):
        np.testing.assert_allclose(course.online, online_loss(losses), rtol=1e-12)
        np.testing.assert_allclose(course.end, losses.values[6::6].mean(1), rtol=1e-12)
        assert course.online_after_first == pytest.approx(online_loss(losses)[1:].mean())


@given(shares, st.integers(2, 6), st.floats(0, 0.9))
def test_uniform_similarity_is_another_pair_of_shares(problem, T, rho):
    a, b, vw = problem
    one = order_course("reshuffled", a, b, T, 3, variance_w=vw, similarity=rho)
    two = order_course("reshuffled", *gauge_shares(a, b, rho), T, 3, variance_w=vw)
    np.testing.assert_allclose(one.online, two.online, rtol=1e-12)


def test_a_fixed_order_wins_online_and_loses_in_the_end():
    """The numbers of T = 25, a = 1/3, w's variance a third of q's."""
    fixed, drawn = (order_course(k, 1 / 3, 2 / 3, 25, 5, variance_w=1 / 3) for k in ("cyclic", "reshuffled"))
    assert fixed.online_after_first / drawn.online_after_first == pytest.approx(0.776, abs=5e-4)
    assert fixed.end[-1] / drawn.end[-1] == pytest.approx(4.92, abs=5e-3)


@pytest.mark.parametrize("T", [25, 50])
@pytest.mark.parametrize(("a", "first"), [(0.1, 16), (0.2, 9), (1 / 3, 6), (0.5, 4), (0.7, 3)])
def test_where_the_online_curves_cross(a, first, T):
    crossing = crossing_epoch(a, 1 - a, T, variance_w=1 / 3)
    assert np.ceil(crossing) in (first, first + (T == 50))
    assert crossing == pytest.approx(1.6 / a + 1, rel=0.2)
    online = [
        order_course(kind, a, 1 - a, T, first + 2, variance_w=1 / 3).online
        for kind in ("cyclic", "reshuffled")
    ]
    worse = np.flatnonzero(online[0] > online[1] * (1 + 1e-12))[0] + 1
    assert worse == np.ceil(crossing)


def test_no_crossing():
    assert crossing_epoch(0.01, 0.99, 25, longest=32) is None


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: reshuffled_losses(0.3, 0.7, 1, 5), "2 tasks"),
        (lambda: reshuffled_losses(0.3, 0.7, 5, 0), "1 epoch"),
        (lambda: reshuffled_losses([0.3, 0.2], 0.7, 5, 3), "one per epoch"),
        (lambda: reshuffled_losses(np.nan, 0.7, 5, 3), "finite"),
        (lambda: reshuffled_losses(0.3, 0.7, 5, 3, variance_w=-1), "variance_w"),
        (lambda: iid_losses(np.eye(3), np.eye(4), 1), "both"),
        (lambda: order_course("palindrome", 0.3, 0.7, 5, 1), "2 or more"),
        (lambda: order_course("cylic", 0.3, 0.7, 5, 2), "cyclic"),
        (lambda: cyclic_order(5, 0), "at least 1"),
    ],
)
def test_bad_input(call, says):
    with pytest.raises(InputError, match=says) as error:
        call()
    assert "\n" not in str(error.value)
