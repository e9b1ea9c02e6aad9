import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests import oracles
from toymodel import InputError, LossMatrix, cyclic_order, recovery_score, share_losses, shares
from toymodel.theory.ring import (
    energy,
    gauge_shares,
    lag_losses,
    mode_ratio,
    ring_polynomial,
    ring_recovery,
    ring_roots,
    ring_stable,
    slow_step_limit,
    spread,
    stability_margin,
    transport,
    turns_per_epoch,
)
from toymodel.theory.spectrum import coupling, difference_operator

share = st.floats(0.01, 0.9)
counts = st.integers(2, 12)


def radius(gram, A, B):
    return np.abs(np.linalg.eigvals(difference_operator(gram, A, B))).max()


@given(st.floats(-0.5, 2.5), st.floats(-0.5, 2.5), counts)
def test_roots_are_the_spectrum(A, B, T):
    roots = ring_roots(A, B, T)
    assert roots.shape == (T,)
    phi = difference_operator(np.eye(T), A, B)
    scale = 1 + np.linalg.norm(phi)
    for mu in roots:
        # mu^T is an eigenvalue where this matrix is singular.
        smallest = np.linalg.svd(phi - mu**T * np.eye(T), compute_uv=False)[-1]
        assert smallest <= 1e-9 * scale
    # ... and together they are all of them.
    assert np.sum(roots**T) == pytest.approx(np.trace(phi), abs=1e-9 * scale)
    assert np.sum(roots ** (2 * T)) == pytest.approx(np.trace(phi @ phi), abs=1e-9 * scale**2)


@given(st.floats(-0.5, 1.5), st.floats(-0.5, 1.5), st.integers(2, 40))
def test_polynomial_vanishes_at_its_roots(A, B, T):
    polynomial = ring_polynomial(A, B, T)
    assert np.polyval(polynomial, 1.0) == pytest.approx(0, abs=1e-14)
    for mu in ring_roots(A, B, T):
        size = np.abs(mu) ** np.arange(T + 1, -1, -1) @ np.abs(polynomial)
        assert abs(np.polyval(polynomial, mu)) <= 1e-10 * (1 + size)


@given(share, share, st.integers(2, 9))
def test_a_mode_started_stays_a_mode(A, B, T):
    mu = ring_roots(A, B, T)[0]
    assume(abs(mu) > 0.2)
    ratio = complex(mode_ratio(mu, B, T))
    # Before episode 0 task j was last trained in episode j - T, and w is that of episode -1.
    rows = oracles.ring_run(mu ** (np.arange(T) - T), ratio / mu, A, B, 2 * T)
    for s, (q, w) in enumerate(rows[1:]):
        assert abs(q[s % T] - mu**s) <= 1e-8
        assert abs(w - ratio * mu**s) <= 1e-8 * max(1, abs(ratio))
    for d, loss in enumerate(lag_losses(mu, B, T)):
        q, w = rows[1 + d]
        assert abs(q[0] - w) ** 2 == pytest.approx(loss, rel=1e-6, abs=1e-10)


@pytest.mark.parametrize("T", [2, 3, 7, 25])
def test_stability_region_on_a_grid(T):
    # Offsets keep the grid off the region's edges, where the radius is 1 up to rounding.
    a, b = np.meshgrid(np.linspace(-1, 3, 33) + 0.0037, np.linspace(-1, 3, 33) + 0.0021)
    ref = [radius(np.eye(T), A, B) <= 1 + 1e-9 for A, B in zip(a.ravel(), b.ravel(), strict=True)]
    comp = ring_stable(a, b, T)
    assert 0.1 < comp.mean() < 0.9
    np.testing.assert_array_equal(comp.ravel(), ref)


@given(st.floats(-1, 3), st.floats(-1, 3), counts)
def test_stability_margin_has_the_sign_of_the_truth(A, B, T):
    margin = float(stability_margin(A, B, T))
    assume(abs(margin) > 1e-2)
    assert (margin > 0) == (radius(np.eye(T), A, B) <= 1 + 1e-9)


@given(st.floats(0, 2.2), st.floats(-0.3, 2.2), counts, st.integers(0, 10**6))
def test_energy_falls_by_what_is_said_in_any_order(A, B, T, seed):
    assume(abs(A + B * T) > 1e-2)
    rng = np.random.default_rng(seed)
    q, w = rng.normal(size=(T, 3)), rng.normal(size=3)
    for i in rng.integers(0, T, 5):
        before, r = energy(q, w, A, B), q[i] - w
        q[i] = q[i] - A * r
        w = w + B * r
        scale = 1 + (abs(A) + abs(B)) * (np.square(q).sum() + np.square(w).sum()) / abs(A + B * T)
        assert energy(q, w, A, B) == pytest.approx(before - A * B * (2 - A - B) * (r @ r), abs=1e-11 * scale)


@given(st.floats(0, 2), st.floats(0, 2), st.integers(2, 7), st.integers(1, 9), st.integers(0, 10**6))
def test_no_correlations_destabilise_data_of_equal_length(A, B, T, N, seed):
    assume(A + B <= 2)
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(T, N))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    phi = difference_operator(x @ x.T, A, B, rng.integers(0, T, T))
    # Dependent data keep an eigenvalue of 1, perhaps a defective one: that is found to half of all digits.
    assert np.abs(np.linalg.eigvals(phi)).max() <= 1 + 1e-6


@given(counts, st.floats(0.05, 1), st.integers(1, 6), st.floats(-0.05, 0.9))
def test_slow_step_limit(T, eta, K, rho):
    limit = slow_step_limit(T, similarity=rho, fast_rate=eta)
    assume(limit < 50)
    gram = (1 - rho) * np.eye(T) + rho
    assert radius(gram, *shares(0.99 * limit, eta, K)) <= 1 + 1e-9
    assert radius(gram, *shares(1.01 * limit, eta, K)) > 1 + 1e-6


def test_the_papers_limit():
    assert slow_step_limit(25) == pytest.approx(25 / 24)
    assert slow_step_limit(25, similarity=0.4) == pytest.approx(25 / 24 / 0.6)
    assert slow_step_limit(25, similarity=1.0) == np.inf
    # The expected losses themselves, just inside and just outside.
    for a, grows in ((0.98 * 25 / 24, False), (1.02 * 25 / 24, True)):
        losses = share_losses(a, 1 - a, cyclic_order(25, 40))
        assert (losses[-1].max() > losses[25].max()) == grows


@given(st.integers(2, 8), st.floats(0.05, 0.9), share, share, st.integers(0, 999))
def test_gauge_symmetry_is_equality_of_couplings(T, common, A, B, seed):
    # x_i = one part shared by all and one of its own length: similarity h_i differs between tasks.
    own = np.random.default_rng(seed).uniform(0.2, 2, T)
    gram = np.diag(own) + common
    h = common / (own + common)
    np.testing.assert_allclose(
        coupling(np.eye(T), *gauge_shares(A, B, h)), coupling(gram, A, B), rtol=1e-13, atol=1e-15
    )


@pytest.mark.parametrize(("A", "B"), [(1 / 3, 2 / 3), (0.3, 0.4), (0.1, 0.5), (0.6, 0.4)])
def test_transport_and_spread_order_of_convergence(A, B):
    sizes = np.array([100, 200, 400])
    errors = np.empty((4, len(sizes)))
    for n, T in enumerate(sizes):
        mu = ring_roots(A, B, int(T))[0]
        eigenvalue, k = mu ** int(T), 2 * np.pi / T
        arg, log = -np.angle(eigenvalue) / k, -2 * np.log(abs(eigenvalue)) / k**2
        errors[:, n] = (
            arg / transport(A, B) - 1,
            log / spread(A, B) - 1,
            arg / transport(A, B, int(T)) - 1,
            log / spread(A, B, int(T)) - 1,
        )
    errors = np.abs(errors)
    # On a ring of T tasks what is left is of order 1/T^2; for many tasks 1/T remains as well.
    slopes = np.polyfit(np.log(sizes), np.log(errors[2:]).T, 1)[0]
    np.testing.assert_allclose(slopes, -2, atol=0.15)
    assert (errors[:2, 1:] < 0.6 * errors[:2, :-1]).all()
    assert (errors[2:] < errors[:2]).all()


@given(st.floats(0.05, 0.5), st.floats(0.4, 0.8), st.integers(30, 60))
def test_turns_per_epoch(A, B, T):
    turns = T * np.angle(ring_roots(A, B, T)[0]) / (2 * np.pi)
    assert turns_per_epoch(A, B, T) == pytest.approx(turns, abs=0.01)
    assert turns_per_epoch(A, B, T) == pytest.approx(1 - transport(A, B, T) / T)
    assert turns < 1


@pytest.mark.parametrize(
    ("A", "B", "T", "epochs", "within"),
    [
        (1 / 3, 2 / 3, 25, 90, 1e-4),
        (0.6, 0.4, 25, 40, 1e-3),
        (0.3, 0.2, 25, 60, 1e-3),
        (0.1, 0.5, 25, 120, 1e-3),
    ],
)
def test_recovery_of_a_long_simulation(A, B, T, epochs, within):
    order = cyclic_order(T, epochs)
    simulated = recovery_score(LossMatrix(share_losses(A, B, order), order), epochs - 1)
    assert ring_recovery(A, B, T).value == pytest.approx(simulated.value, abs=within)


@given(st.floats(0, 1.5), st.floats(-0.2, 1.5), counts)
def test_recovery_is_a_share_or_says_why_not(A, B, T):
    score = ring_recovery(A, B, T)
    if score:
        assert 0 <= score.value <= 1
    else:
        assert np.isnan(score.value)
        assert len(score.reason) > 10


@pytest.mark.parametrize(
    ("A", "B", "reason"),
    [
        (1.2, -0.2, "diverges"),
        (-0.1, 0.5, "diverges"),
        (1.0, 0.0, "solves every task"),
        (0.0, 0.5, "no single pair"),
    ],
)
def test_when_there_is_no_score(A, B, reason):
    assert reason in ring_recovery(A, B, 6).reason


@pytest.mark.parametrize(
    ("function", "arguments", "options"),
    [
        (ring_roots, (0.3, 0.2, 1), {}),
        (ring_roots, (np.nan, 0.2, 5), {}),
        (ring_roots, ([0.3, 0.2], 0.2, 5), {}),
        (ring_polynomial, (0.3, 0.2, 2.5), {}),
        (slow_step_limit, (5,), {"similarity": 1.1}),
        (slow_step_limit, (5,), {"similarity": -0.5}),
        (slow_step_limit, (5,), {"fast_rate": 0}),
        (ring_stable, (0.3, 0.2, True), {}),
        (energy, ([[1.0], [2.0]], [0.0], 1.0, -0.5), {}),
    ],
)
def test_bad_input(function, arguments, options):
    with pytest.raises(InputError, match="Fix:"):
        function(*arguments, **options)


def test_limits_of_transport():
    assert transport(0.3, 0.0) == np.inf
    assert np.isnan(transport(0.0, 0.0))
    assert spread(0.3, 0.0) == np.inf
