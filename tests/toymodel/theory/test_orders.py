"""The toy as successive over-relaxation: any similarities, any order, the palindrome, and bounds."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from toymodel import (
    InputError,
    coupling,
    difference_losses,
    difference_operator,
    distance_to_solution,
    effective_tasks,
    epoch_spectrum,
    forgetting_bounds,
    growth,
    palindrome,
    palindrome_spectrum,
    rate_limit,
    relaxation,
    relaxation_limit,
    schedule,
    slow_step_limit,
)


def gram_of(seed, T, extra=2):
    """Similarities of T random points of one length."""
    x = np.random.default_rng(seed).normal(size=(T, T + extra))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x @ x.T


problems = st.tuples(st.integers(0, 2**32 - 1), st.integers(2, 7))
share = st.floats(-0.5, 2.2)


@given(problems, share, share)
def test_an_episode_is_a_step_of_over_relaxation(problem, slow, fast):
    seed, T = problem
    assume(abs(slow + fast) > 0.05)
    G = gram_of(seed, T)
    form = relaxation(G, slow, fast)
    np.testing.assert_allclose(form.omega, slow + fast)
    rng = np.random.default_rng(seed)
    i, y = int(rng.integers(T)), rng.normal(size=T)
    moved = y.copy()
    moved[i] -= form.omega[i] / form.matrix[i, i] * (form.matrix[i] @ y)  # omega of the way to the minimum
    e = form.matrix @ y
    np.testing.assert_allclose(form.matrix @ moved, e - coupling(G, slow, fast)[i] * e[i], atol=1e-12)


@given(problems, share, share, st.integers(0, 2**32 - 1))
def test_convergence_in_any_order_is_ostrowskis_and_reichs(problem, slow, fast, other):
    seed, T = problem
    G = gram_of(seed, T)
    C = coupling(G, slow, fast)
    # Off the edge, where a finite number of digits cannot tell.
    assume(abs(np.linalg.eigvalsh((C + C.T) / 2)[0]) > 1e-3)
    assume(min(abs(slow + fast), abs(2 - slow - fast)) > 1e-3)
    order = schedule("reshuffled", T, 2, other)
    assert relaxation(G, slow, fast).converges == (growth(G, slow, fast, order) < 1)


@given(problems, st.floats(0.05, 0.95), st.floats(0.1, 1))
def test_the_limit_is_the_numerical_one_in_every_order(problem, part, fast_rate):
    seed, T = problem
    G = gram_of(seed, T)
    limit = relaxation_limit(G, fast_rate=fast_rate)
    assume(limit < 20)
    for order in (None, np.random.default_rng(seed).permutation(T)):
        assert rate_limit(G, fast_rate=fast_rate, order=order) == pytest.approx(limit, rel=1e-6)


@given(st.integers(2, 12), st.floats(0, 0.9), st.floats(0.1, 1))
def test_uniform_similarity_is_section_6(T, rho, fast_rate):
    G = 3.0 * ((1 - rho) * np.eye(T) + rho)
    assert effective_tasks(G) == pytest.approx(T / (1 + (T - 1) * rho))
    expected = slow_step_limit(T, similarity=rho, fast_rate=fast_rate)
    assert relaxation_limit(G, fast_rate=fast_rate) == pytest.approx(expected, rel=1e-9)


def test_dependent_data():
    x = np.array([[1.0, 0], [-1.0, 0], [0, 1]])  # x_1 + x_2 = 0 sees the common part: 1 + 1 + 0
    assert effective_tasks(x @ x.T) == np.inf
    x = np.array([[1.0, 0], [1.0, 0], [0, 1]])  # x_1 - x_2 = 0 does not
    assert effective_tasks(x @ x.T) == pytest.approx(2)


@given(problems, st.floats(0.02, 1.0), st.floats(0.1, 10))
def test_unequal_lengths_have_a_form_where_fast_shares_balance_them(problem, rate, common):
    seed, T = problem
    x = np.random.default_rng(seed).normal(size=(T, T + 2))
    G = x @ x.T
    squares = np.diag(G)
    # B_i ||x_i||^2 / A_i = c with A_i + B_i = omega_i below 2.
    slow = rate * squares / (squares + common)
    form = relaxation(G, slow, common * slow / squares)
    np.testing.assert_allclose(form.omega, rate)
    np.testing.assert_allclose(form.matrix / form.matrix[0, 0], (G + common) / (G + common)[0, 0], rtol=1e-8)
    order = schedule("reshuffled", T, 2, seed)
    assert growth(G, slow, common * slow / squares, order) < 1


def test_with_unequal_lengths_the_order_can_decide():
    """The paper's model, three tasks: one direction of the cycle diverges, the other converges."""
    x = np.array([[2.0, 1, 0], [-1.5, 1, 1], [-1, -0.5, 0.5]])
    found = []
    rng = np.random.default_rng(0)
    for _ in range(4000):
        x = rng.normal(size=(3, 3)) * np.exp(rng.normal(size=(3, 1)))
        G = x @ x.T
        slow = rng.uniform(0.2, 1.6) / np.diag(G).max() * np.diag(G)
        both = [growth(G, slow, 1 - slow, order) for order in ((0, 1, 2), (0, 2, 1))]
        if min(both) < 0.97 and max(both) > 1.03:
            found.append(both)
            with pytest.raises(InputError, match="growth"):
                relaxation(G, slow, 1 - slow)
    assert found


@given(problems, st.floats(0.05, 0.9), st.floats(0.05, 0.9))
def test_a_palindrome_does_not_turn(problem, slow, fast):
    seed, T = problem
    G = gram_of(seed, T)
    order = np.random.default_rng(seed).permutation(T)
    real = palindrome_spectrum(G, slow, fast, order)
    forward, backward = (
        difference_operator(G, slow, fast, order),
        difference_operator(G, slow, fast, order[::-1]),
    )
    ref = np.linalg.eigvals(backward @ forward)
    assert np.abs(ref.imag).max() < 1e-7
    np.testing.assert_allclose(np.sort(ref.real), np.sort(real), atol=1e-7)
    assert (real >= 0).all()
    np.testing.assert_array_equal(palindrome(order, T), [order, order[::-1]])
    np.testing.assert_allclose(
        np.abs(epoch_spectrum(G, slow, fast, palindrome(order, T)))[0], real[0], rtol=1e-6
    )


def test_the_palindrome_of_the_papers_model_is_slow():
    G = np.eye(25)
    cyclic = epoch_spectrum(G, 1 / 3, 2 / 3)
    assert np.abs((cyclic**2).imag).max() == pytest.approx(0.40, abs=0.01)
    assert palindrome_spectrum(G, 1 / 3, 2 / 3)[0] == pytest.approx(0.989, abs=5e-4)
    assert np.abs(cyclic[0]) ** 2 == pytest.approx(0.957, abs=5e-4)


@given(problems, st.floats(0.05, 0.95))
def test_forgetting_stays_below_its_bounds(problem, slow):
    seed, T = problem
    G = gram_of(seed, T)
    form = relaxation(G, slow, 1 - slow)
    e = np.random.default_rng(seed).normal(size=T)
    D = np.outer(e, e)
    losses = difference_losses(D, coupling(G, slow, 1 - slow), schedule("cyclic", T, 20))
    squares = 2 * losses.mean(1)[1:] / distance_to_solution(D, form.matrix)
    proved, up_to_a_factor = forgetting_bounds(T, np.arange(1, 1 + 20 * T), T)
    assert (squares <= proved * (1 + 1e-9)).all()
    assert (squares[T - 1 :: T] <= up_to_a_factor[T - 1 :: T] * (1 + 1e-9)).all()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: relaxation(gram_of(0, 4) * np.outer([1, 2, 3, 4], [1, 2, 3, 4]), 0.3, 0.7), "one length"),
        (lambda: relaxation(np.ones((2, 3)), 0.3, 0.7), "gram = x @ x.T"),
        (lambda: effective_tasks(np.array([[1.0, 0.5], [0.5, 2.0]])), "unequal lengths"),
        (lambda: relaxation_limit(np.eye(3), fast_rate=0), "fast_rate"),
        (lambda: palindrome_spectrum(np.eye(3), 2.0, -1.5), "smaller rate"),
        (lambda: palindrome(np.array([[0, 1], [1, 0]]), 2), "one epoch"),
        (lambda: palindrome([0, 1, 3], 3), "from 0 to 2"),
        (lambda: forgetting_bounds(3, [0, 1], 3), "episodes >= 1"),
    ],
)
def test_bad_input(call, says):
    with pytest.raises(InputError, match=says) as error:
        call()
    assert "\n" not in str(error.value)
