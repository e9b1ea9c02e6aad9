import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests import oracles
from toymodel import (
    InputError,
    cyclic_order,
    epoch_operator,
    expected_losses,
    random_tasks,
    shares,
    simulate,
)
from toymodel.measures.schedules import schedule
from toymodel.theory.ring import slow_step_limit
from toymodel.theory.spectrum import (
    consensus_weights,
    coupling,
    difference_losses,
    difference_moments,
    difference_operator,
    effective_gram,
    epoch_spectrum,
    paper_variances,
    rate_limit,
)

seeds = st.integers(0, 2**32 - 1)


@st.composite
def linear_problems(draw):
    """A Gram matrix with shares by task, inside or near the stable region."""
    T = draw(st.integers(2, 7))
    rng = np.random.default_rng(draw(seeds))
    x = rng.normal(size=(T, draw(st.integers(T, 3 * T))))
    gram = x @ x.T
    a = draw(st.floats(0.05, 0.8)) * np.diag(gram) / np.trace(gram)
    slow, fast = shares(a, draw(st.floats(0.1, 1)), draw(st.integers(1, 3)))
    return gram, slow, fast, rng


@given(linear_problems())
def test_consensus_is_all_that_was_divided_out(problem):
    gram, slow, fast, rng = problem
    order = rng.permutation(len(gram))
    whole = epoch_operator(gram, slow, fast, order)
    reduced = difference_operator(gram, slow, fast, order)
    np.testing.assert_allclose(whole.sum(1), 1, atol=1e-12)  # consensus stays
    D = np.hstack([np.eye(len(gram)), -np.ones((len(gram), 1))])
    np.testing.assert_allclose(D @ whole, reduced @ D, atol=1e-12)
    assert np.trace(whole) == pytest.approx(1 + np.trace(reduced))
    moduli = np.abs(epoch_spectrum(gram, slow, fast, order))
    assert (np.diff(moduli) <= 1e-9).all()
    assert moduli[0] == pytest.approx(np.abs(np.linalg.eigvals(reduced)).max())


@given(st.integers(2, 6), seeds, st.floats(0.05, 0.9), st.floats(0.1, 1), st.integers(1, 3))
def test_differences_against_eqs_3_to_5(T, seed, a, eta, K):
    tasks = random_tasks(T, 9, 4, seed=seed)
    rate = a / np.trace(tasks.gram)
    order = schedule("reshuffled", T, 3, seed)
    run = simulate(tasks, "reflection", rate=rate, epochs=3, inner_steps=K, fast_rate=eta, order=order,
                   engine="direct", record=("q", "w"))  # fmt: skip
    u = np.vstack([run.trajectories["q"][0], run.trajectories["w"][0]])
    C = coupling(tasks.gram, *shares(rate * np.diag(tasks.gram), eta, K))
    comp = difference_losses(difference_moments(u @ u.T), C, order)
    np.testing.assert_allclose(comp, run.losses.values, rtol=1e-9, atol=1e-12 * comp.max())


@given(st.integers(2, 5), seeds, st.floats(0.05, 0.8), st.floats(0.1, 1), st.integers(1, 4))
def test_universality_over_affine_maps_for_orthogonal_data(T, seed, a, eta, K):
    rng = np.random.default_rng(seed)
    M, N = 3, T + 2
    lengths = rng.uniform(0.5, 2, T)
    x = np.linalg.qr(rng.normal(size=(N, T)))[0].T * lengths[:, None]
    matrices = rng.normal(size=(T, M, M)) + 3 * np.eye(M)
    rate = a / np.max(lengths**2)
    order = rng.integers(0, T, (2, T))
    q, w, _ = oracles.affine_run(
        x, matrices, rng.normal(size=(T, M)), rng.normal(size=(M, N)), rng.normal(size=M), rate, order, K, eta
    )
    A, B = shares(rate * lengths**2, eta, K)
    comp_q, comp_w = q[0].copy(), w[0].copy()
    for t, i in enumerate(order.ravel()):
        r = comp_q[i] - comp_w
        comp_q[i] = comp_q[i] - A[i] * r
        comp_w = comp_w + B[i] * r
        np.testing.assert_allclose(comp_q, q[t + 1], atol=1e-9 * (1 + np.abs(q).max()))
        np.testing.assert_allclose(comp_w, w[t + 1], atol=1e-9 * (1 + np.abs(w).max()))


@given(st.integers(2, 5), seeds, st.floats(0.02, 0.3))
def test_slopes_act_through_the_gram_matrix(T, seed, a):
    rng = np.random.default_rng(seed)
    M = 3
    x = rng.normal(size=(T, 6))
    slopes = rng.uniform(0.5, 2, T)
    rate = a / np.trace(x @ x.T)
    order = rng.integers(0, T, (2, T))
    matrices = slopes[:, None, None] * np.eye(M)
    q, w, ref = oracles.affine_run(
        x, matrices, rng.normal(size=(T, M)), rng.normal(size=(M, 6)), rng.normal(size=M), rate, order
    )
    gram = x @ x.T
    C = coupling(effective_gram(gram, slopes), *shares(rate * np.diag(gram)))
    u = np.vstack([q[0], w[0]])
    comp = slopes**2 * difference_losses(difference_moments(u @ u.T), C, order)
    np.testing.assert_allclose(comp, ref, rtol=1e-8, atol=1e-11 * ref.max())


@given(linear_problems())
def test_consensus_is_conserved_and_reached(problem):
    gram, slow, fast, rng = problem
    T = len(gram)
    c = consensus_weights(gram, slow, fast)
    assert c.sum() == pytest.approx(1)
    u = rng.normal(size=T + 1)
    before = c @ u
    scale = np.abs(c) @ np.abs(u)
    for i in rng.integers(0, T, 3 * T):
        r = u[i] - u[T]
        u[:T] -= slow[i] * gram[i] / gram[i, i] * r
        u[T] += fast[i] * r
        assert c @ u == pytest.approx(before, abs=1e-9 * (1 + scale))
    radius = abs(epoch_spectrum(gram, slow, fast)[0])
    assume(radius < 0.99)
    epochs = int(np.ceil(np.log(1e-9) / np.log(radius)))
    end = np.linalg.matrix_power(epoch_operator(gram, slow, fast), epochs) @ u
    np.testing.assert_allclose(end, before, atol=1e-5 * (1 + scale))


def test_consensus_of_orthogonal_data():
    np.testing.assert_allclose(consensus_weights(np.eye(4), 0.3, 0.2), np.array([2, 2, 2, 2, 3]) / 11)
    with pytest.raises(InputError, match="consensus"):
        consensus_weights(np.ones((3, 3)), 0.3, 0.7)  # the same data point three times
    with pytest.raises(InputError, match="consensus"):
        consensus_weights(np.eye(4), 4 / 3, -1 / 3)  # at the limit T/(T-1)


@given(st.integers(2, 7), st.floats(0, 0.8), st.floats(0.2, 1), st.integers(1, 3), st.floats(0.1, 9))
def test_rate_limit_has_the_closed_form_of_uniform_similarity(T, rho, eta, K, square):
    gram = square * ((1 - rho) * np.eye(T) + rho)
    limit = slow_step_limit(T, similarity=rho, fast_rate=eta) / square
    assume(np.isfinite(limit))
    assert rate_limit(gram, inner_steps=K, fast_rate=eta) == pytest.approx(limit, rel=1e-5)


@pytest.mark.parametrize(("seed", "dimension"), [(0, 12), (1, 12), (2, 40), (3, 4)])
def test_rate_limit_is_where_simulations_begin_to_grow(seed, dimension):
    tasks = random_tasks(8, dimension, 3, seed=seed)
    limit = rate_limit(tasks.gram)
    stable = simulate(tasks, "identity", rate=0.97 * limit, epochs=400).losses.values
    assert stable[-8:].max() <= stable[:9].max() * 10
    with pytest.warns(UserWarning, match="stability limit"):
        growing = simulate(tasks, "identity", rate=1.03 * limit, epochs=400, unstable="warn").losses.values
    assert growing[-8:].max() > 100 * growing[:9].max()


def test_rates_without_a_limit():
    assert rate_limit(np.ones((3, 3))) == np.inf  # one data point: a full fast step solves every task at once


def test_unequal_slopes_on_similar_data_diverge_at_any_rate():
    gram, slopes = 0.5 * np.eye(3) + 0.5, np.array([1.0, 1.0, 4.0])
    assert rate_limit(gram) == pytest.approx(slow_step_limit(3, similarity=0.5), rel=1e-9)
    assert rate_limit(effective_gram(gram, slopes)) == 0
    x, rng = np.linalg.cholesky(gram), np.random.default_rng(0)
    matrices = slopes[:, None, None] * np.eye(2)
    start = rng.normal(size=(2, 3)), rng.normal(size=2)
    for rate in (0.05, 0.4):
        *_, losses = oracles.affine_run(x, matrices, np.zeros((3, 2)), *start, rate, cyclic_order(3, 300))
        assert losses[-1].max() > 10 * losses[300].max()


@pytest.mark.parametrize(
    ("name", "target"), [("identity", "none"), ("reflection", "uniform"), ("reflection", "normal")]
)
def test_paper_variances_give_the_mean_of_simulations(name, target):
    T, N, M, runs = 4, 6, 5, 1200
    data = random_tasks(T, N, M, seed=1)
    rng = np.random.default_rng(3)
    stack = []
    for _ in range(runs):
        drawn = random_tasks(
            T, N, M, seed=int(rng.integers(2**31)), target="normal" if target == "normal" else "uniform"
        )
        one = type(data)(data.x, drawn.y, drawn.P, drawn.w)
        stack.append(simulate(one, name, rate=0.1, epochs=2).losses.values)
    expected = expected_losses(
        data.gram, dimension=M, rate=0.1, epochs=2, **paper_variances(N, target)
    ).values
    samples = np.array(stack)
    error = samples.std(0, ddof=1) / np.sqrt(runs)
    seen = error > 1e-9
    z = np.abs(samples.mean(0) - expected)[seen] / error[seen]
    assert z.max() < 4.5
    assert expected.max() > 0.5


@pytest.mark.parametrize(
    "call",
    [
        lambda: coupling(np.ones((2, 3)), 0.1, 0.2),
        lambda: coupling([[1, 0], [0, 0]], 0.1, 0.2),
        lambda: coupling(np.eye(3), [0.1, 0.2], 0.2),
        lambda: coupling(np.eye(3), np.nan, 0.2),
        lambda: difference_operator(np.eye(3), 0.1, 0.2, [0, 1]),
        lambda: difference_operator(np.eye(3), 0.1, 0.2, [0, 1, 3]),
        lambda: difference_moments(np.ones((2, 3))),
        lambda: effective_gram(np.eye(2), [1, 0]),
        lambda: paper_variances(10, "unifrom"),
        lambda: paper_variances(0),
        lambda: rate_limit([[np.inf, 0], [0, 1]]),
    ],
)
def test_bad_input(call):
    with pytest.raises(InputError, match="Fix:"):
        call()


def test_figure_10a_diverges_at_the_texts_rate_and_not_at_a_tenth():
    """The text's 0.01 with N = 1000 is far past the limit; 0.001 is a third of the way to it."""
    gram = random_tasks(25, 1000, 2, seed=0).gram
    limit = rate_limit(gram)
    assert limit < 0.01 / 2
    assert limit > 2 * 0.001
    diverged = expected_losses(gram, dimension=1000, rate=0.01, epochs=7, **paper_variances(1000)).values
    assert diverged[-1].max() > 1e150
    shown = expected_losses(gram, dimension=1000, rate=0.001, epochs=7, **paper_variances(1000)).values
    peaks = [shown[1 + 25 * n : 26 + 25 * n, 0].max() for n in range(4)]
    np.testing.assert_allclose(peaks, [19.8, 9.0, 4.1, 2.1], rtol=0.12)
    assert cyclic_order(25, 7).size == len(shown) - 1
