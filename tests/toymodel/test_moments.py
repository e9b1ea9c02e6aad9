"""Moments of all pairs: their kernels, exact expectations, symmetries."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import oracles
from tests.toymodel.problems import AFFINE, SCALAR, agree, problems
from toymodel import (
    InputError,
    Tasks,
    epoch_operator,
    expected_losses,
    moment_losses,
    moments_after,
    random_gram,
    random_tasks,
    share_losses,
    shares,
    simulate,
)
from toymodel.moments import losses_of


@given(problems(names=tuple(AFFINE), orthogonal=True))
def test_moments_carry_every_affine_map_on_orthogonal_data(problem):
    tasks, name, options = problem
    ref = simulate(tasks, name, engine="direct", **options)
    comp = simulate(tasks, name, engine="moment", record="S", **options)
    agree(comp.losses.values, ref.losses.values)
    states = simulate(tasks, name, engine="projected", record="S", **options).trajectories["S"]
    agree(comp.trajectories["S"], states)


@given(problems(names=tuple(SCALAR)))
def test_moments_stay_positive_semidefinite(problem):
    tasks, name, options = problem
    S = simulate(tasks, name, engine="moment", record="S", **options).trajectories["S"]
    assert np.linalg.eigvalsh(S).min() >= -1e-10 * np.abs(S).max()
    ref = simulate(tasks, name, engine="direct", record="S", **options).trajectories["S"]
    agree(S, ref)


@given(st.integers(2, 7), st.integers(0, 5), st.integers(0, 10**6), st.booleans(), st.booleans())
def test_jump_is_step(T, epochs, seed, orthogonal, slopes):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(T, T + 1))
    gram = None if orthogonal else x @ x.T
    s = rng.uniform(0.5, 2, T) if slopes else None
    a, b = rng.uniform(0.05, 0.4, (2, T))
    u = rng.normal(size=(T + 1, 4))
    order = np.tile(rng.permutation(T), (max(epochs, 1), 1))
    trace = np.empty((1 + order.size, T + 1, T + 1))
    losses = moment_losses(u @ u.T, a[order], b[order], order, gram=gram, slopes=s, trace=trace)
    comp = moments_after(u @ u.T, a, b, epochs, gram=gram, order=order[0], slopes=s)
    agree(comp, trace[epochs * T])
    agree(losses_of(comp), losses[epochs * T], 1e-9 * max(1, np.abs(comp).max() / losses[epochs * T].max()))


@given(st.integers(2, 6), st.integers(1, 3), st.integers(0, 10**6), st.booleans())
def test_kernels_against_explicit_matrices(T, E, seed, orthogonal):
    rng = np.random.default_rng(seed)
    order = rng.integers(0, T, (E, T))
    slow, fast = rng.uniform(0, 0.5, (2, E, T))
    x = rng.normal(size=(T, T + 2))
    gram = np.eye(T) if orthogonal else x @ x.T
    variance = rng.uniform(0.1, 2, T)
    ref = oracles.share_moments(slow, fast, order, np.diag([*variance, 0.7]), gram)
    if orthogonal:
        comp = share_losses(slow, fast, order, variance_q=variance, variance_w=0.7)
    else:
        comp = moment_losses(np.diag([*variance, 0.7]), slow, fast, order, gram=gram)
    np.testing.assert_allclose(comp, ref, rtol=1e-10, atol=1e-12 * np.abs(ref).max())


@given(st.floats(0.01, 0.9), st.floats(0.01, 1), st.integers(1, 8))
def test_inner_steps_collapse_to_shares(a, eta, K):
    q, w, r0 = 1.0, 0.0, 1.0
    for _ in range(K):
        q -= a * (q - w)
        w += eta * (q - w)
    A, B = shares(a, eta, K)
    assert q == pytest.approx(1 - A * r0, abs=1e-12)
    assert w == pytest.approx(B * r0, abs=1e-12)


@given(st.integers(3, 8), st.floats(0, 0.9), st.floats(0.05, 0.6), st.floats(0.05, 0.6))
def test_gauge_symmetry_of_uniform_similarity(T, rho, A, B):
    gram = (1 - rho) * np.eye(T) + rho
    order = np.tile(np.arange(T), (3, 1))
    start = np.eye(T + 1)
    similar = moment_losses(start, A, B, order, gram=gram)
    reduced = moment_losses(start, A * (1 - rho), B + A * rho, order)
    np.testing.assert_allclose(similar, reduced, rtol=1e-9, atol=1e-12)


def test_expected_losses_are_the_mean_of_simulations():
    tasks, runs = random_tasks(4, 6, 5, seed=1), 1500
    rng = np.random.default_rng(0)
    samples = []
    for _ in range(runs):
        one = Tasks(tasks.x, rng.normal(0, 0.7, (4, 5)), rng.normal(0, 0.4, (5, 6)), rng.normal(0, 0.5, 5))
        samples.append(simulate(one, "reflection", rate=0.05, epochs=2).losses.values)
    expected = expected_losses(
        tasks.gram, dimension=5, rate=0.05, epochs=2, variance_p=0.16, variance_y=0.49, variance_w=0.25
    ).values
    stack = np.array(samples)
    error = stack.std(0, ddof=1) / np.sqrt(runs)
    z = np.abs(stack.mean(0) - expected) / np.maximum(error, 1e-12)
    assert z[error > 1e-9].max() < 4  # the worst of 36 correlated entries
    assert expected.max() > 1


@given(st.integers(3, 6), st.integers(0, 10**6))
def test_gauge_symmetry_is_exact(T, seed):
    """One vector added to every q and to w changes no loss."""
    rng = np.random.default_rng(seed)
    u, shift = rng.normal(size=(T + 1, 5)), 3 * rng.normal(size=5)
    x = rng.normal(size=(T, T))
    order = rng.integers(0, T, (3, T))
    a, b = rng.uniform(0.05, 0.3, (2, 3, T))
    for gram in (None, x @ x.T):
        one, two = (moment_losses(v @ v.T, a, b, order, gram=gram) for v in (u, u + shift))
        agree(two, one, 1e-9 * (1 + np.square(shift).sum()))


def test_expected_losses_with_slopes():
    slopes, gram = np.array([2.0, -1.0, 0.5]), random_gram(3, 5, seed=3)
    options = {"rate": 0.05, "epochs": 2, "variance_p": 0.3, "variance_y": 0.1, "variance_w": 0.2}
    comp = expected_losses(gram, dimension=4, slopes=slopes, **options).values
    S = np.zeros((4, 4))
    S[:3, :3] = 4 * (0.3 * gram + 0.1 * np.eye(3)) / np.outer(slopes, slopes)
    S[3, 3] = 4 * 0.2
    for row in range(len(comp)):
        np.testing.assert_allclose(comp[row], slopes**2 * losses_of(S), rtol=1e-10, atol=1e-12)
        if row < len(comp) - 1:
            i = row % 3
            phi = epoch_operator(gram, *shares(0.05 * np.diag(gram)), [i], slopes=slopes)
            S = phi @ S @ phi.T


@pytest.mark.parametrize(
    "change",
    [{"moments": np.eye(3)[:2]}, {"moments": np.full((3, 3), np.nan)}, {"moments": np.triu(np.ones((3, 3)))},
     {"gram": np.eye(3)}, {"gram": -np.eye(2)}, {"gram": np.array([[1, np.inf], [0, 1]])}, {"slopes": [1.0]},
     {"order": [[0, 2]]}, {"order": [[0.0, 1.0]]}, {"order": [0, 1]}, {"slow": [0.1, 0.2]}],
)  # fmt: skip
def test_bad_moments(change):
    good = {"moments": np.eye(3), "slow": 0.1, "fast": 0.9, "order": [[0, 1]], "gram": np.eye(2)}
    assert moment_losses(**good).shape == (3, 2)
    with pytest.raises(InputError):
        moment_losses(**(good | change))
    if "order" in change:
        with pytest.raises(InputError):
            share_losses(0.1, 0.9, change["order"])
