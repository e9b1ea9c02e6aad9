import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import oracles
from toymodel import (
    InputError,
    StabilityWarning,
    Tasks,
    expected_losses,
    random_tasks,
    share_losses,
    shares,
    simulate,
)


@st.composite
def problems(draw):
    T, N, M = draw(st.integers(2, 6)), draw(st.integers(2, 9)), draw(st.integers(1, 5))
    seed = draw(st.integers(0, 2**32 - 1))
    tasks = random_tasks(T, N, M, seed=seed)
    E = draw(st.integers(1, 3))
    order = np.array([draw(st.permutations(range(T))) for _ in range(E)])
    a = draw(st.floats(0.01, 0.3))
    options = {
        # Correlated data have a lower limit than orthogonal ones; this keeps every problem stable.
        "rate": a / np.trace(tasks.gram),
        "epochs": E,
        "inner_steps": draw(st.integers(1, 4)),
        "fast_rate": draw(st.floats(0.05, 1)),
        "order": order,
    }
    return tasks, draw(st.sampled_from(["identity", "reflection"])), options


@given(problems())
def test_engines_agree(problem):
    tasks, name, options = problem
    ref = simulate(tasks, name, engine="direct", **options).losses.values
    for engine in ("projected", "moment"):
        comp = simulate(tasks, name, engine=engine, **options).losses.values
        assert np.abs(comp - ref).max() <= 1e-10 * np.abs(ref).max()


@given(problems())
def test_full_fast_step_solves_the_task_just_trained(problem):
    tasks, name, options = problem
    losses = simulate(tasks, name, engine="projected", **(options | {"fast_rate": 1.0})).losses
    for t, i in enumerate(losses.order.ravel()):
        assert losses.values[1 + t, i] <= 1e-20 * (1 + losses.values.max())


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
        from toymodel import moment_losses

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
    from toymodel import moment_losses

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
    assert z[error > 1e-9].max() < 4.5  # the worst of 36 correlated entries
    assert expected.max() > 1


def test_rate_past_the_limit_is_announced():
    tasks = Tasks(np.eye(5), np.zeros((5, 3)), np.ones((3, 5)), np.zeros(3))
    limit = 5 / 4
    assert "stable" in simulate(tasks, "identity", rate=limit * 0.99, epochs=1).status
    with pytest.warns(StabilityWarning, match="past the stability limit"):
        simulate(tasks, "identity", rate=limit * 1.01, epochs=1, unstable="warn")
    with pytest.raises(InputError, match=r"past the stability limit of 1\.25"):
        simulate(tasks, "identity", rate=limit * 1.01, epochs=1)
    assert "past" in simulate(tasks, "identity", rate=limit * 1.01, epochs=1, unstable="allow").status


@pytest.mark.parametrize(
    "change",
    [{"rate": 0}, {"rate": np.nan}, {"epochs": 0}, {"engine": "momnt"}, {"fast_rate": 0}, {"inner_steps": 0},
     {"order": [[0, 1, 9]]}],
)  # fmt: skip
def test_bad_input(change):
    with pytest.raises(InputError) as error:
        simulate(random_tasks(3, 4), "identity", **({"rate": 0.01, "epochs": 1} | change))
    assert "Fix:" in str(error.value)
    with pytest.raises(InputError, match="identity"):
        simulate(random_tasks(3, 4), "identty", rate=0.01, epochs=1)
