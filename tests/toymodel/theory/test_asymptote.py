import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from toymodel import (
    InputError,
    LossMatrix,
    RecoveryScore,
    cyclic_order,
    epoch_operator,
    random_tasks,
    recovery_scores,
    share_losses,
    shares,
)
from toymodel.theory.asymptote import asymptotics, epochs_until, recovery_course
from toymodel.theory.ring import gauge_shares, ring_recovery
from toymodel.theory.spectrum import difference_operator

share = st.floats(0.05, 0.85)


@given(share, share, st.integers(3, 12), st.floats(0, 0.8))
def test_general_form_is_the_closed_form_on_a_ring(A, B, T, rho):
    gram = (1 - rho) * np.eye(T) + rho
    ref = ring_recovery(*map(float, gauge_shares(A, B, rho)), T)
    comp = asymptotics(gram, A, B).score
    assume(bool(ref))
    assert comp.value == pytest.approx(ref.value, abs=1e-7)


@pytest.mark.parametrize(
    ("A", "B", "T"), [(1 / 3, 2 / 3, 25), (0.6, 0.4, 12), (0.9, 0.1, 25), (0.5, 0.5, 4), (0.3, 0.2, 9)]
)
def test_scores_swing_within_the_range_and_fill_it(A, B, T):
    limit = asymptotics(np.eye(T), A, B)
    begin = int(limit.epochs(1e-14))  # products of two modes fall by the root of that
    late = [s.value for s in recovery_course(np.eye(T), A, B, begin + 200)][begin:]
    margin = 1e-3 * (limit.high - limit.low) + 1e-9
    assert limit.low - margin <= min(late)
    assert max(late) <= limit.high + margin
    assert max(late) - min(late) > 0.9 * (limit.high - limit.low)
    assert limit.low <= limit.score.value <= limit.high


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_correlated_data(seed):
    gram = random_tasks(10, 25, 2, seed=seed).gram
    A, B = shares(0.4 * np.diag(gram) / np.diag(gram).mean())
    limit = asymptotics(gram, A, B)
    begin = int(limit.epochs(1e-14))  # products of two modes fall by the root of that
    late = [s.value for s in recovery_course(gram, A, B, begin + 200)][begin:]
    margin = 1e-3 * (limit.high - limit.low) + 1e-6
    assert limit.low - margin <= min(late)
    assert max(late) <= limit.high + margin


def test_what_other_modes_leave_decays_as_said():
    A, B, T = 0.3, 0.2, 15
    limit = asymptotics(np.eye(T), A, B)
    values, vectors = np.linalg.eig(difference_operator(np.eye(T), A, B))
    lead = np.abs(values) > (1 - 1e-9) * np.abs(values).max()
    duals = np.linalg.inv(vectors)
    main = (vectors[:, lead] @ duals[lead]).real

    def others(n):
        power = np.linalg.matrix_power(difference_operator(np.eye(T), A, B), n)
        kept = main @ power
        return np.linalg.norm(power - kept) ** 2 / np.linalg.norm(kept) ** 2

    steps = limit.epochs(0.01)
    n = round(4 * steps)
    measured = others(n + round(steps)) / others(n)
    assert measured == pytest.approx(0.01, rel=0.25)
    assert limit.decay == pytest.approx(np.abs(values).max() ** 2)


def test_linearly_dependent_data_need_the_initial_moments():
    gram = random_tasks(9, 4, 2, seed=0).gram
    A, B = shares(0.2 * np.diag(gram) / np.diag(gram).mean())
    undecided = asymptotics(gram, A, B)
    assert "initial weights decide" in undecided.score.reason
    assert undecided.epochs() == np.inf
    rng = np.random.default_rng(0)
    u = rng.normal(size=(10, 3))
    limit = asymptotics(gram, A, B, moments=u @ u.T)
    course = recovery_course(gram, A, B, 3000, moments=u @ u.T)
    assert limit.score.value == pytest.approx(course[-1].value, abs=1e-4)
    assert limit.decay == pytest.approx(1)


def test_another_order_of_tasks_is_another_ring():
    gram = random_tasks(7, 12, 2, seed=4).gram
    A, B = shares(0.3 * np.diag(gram) / np.diag(gram).mean())
    order = np.array([3, 1, 0, 6, 2, 5, 4])
    ref = asymptotics(gram[np.ix_(order, order)], A[order], B[order])
    comp = asymptotics(gram, A, B, order=order)
    assert comp.score.value == pytest.approx(ref.score.value, abs=1e-9)
    assert comp.score.value != pytest.approx(asymptotics(gram, A, B).score.value, abs=1e-4)


@given(st.floats(0.0, 1.6), st.floats(-0.2, 1.2), st.integers(2, 7))
def test_score_is_a_share_or_says_why_not(A, B, T):
    limit = asymptotics(np.eye(T), A, B)
    if limit.score:
        assert 0 <= limit.score.value <= 1
    else:
        assert np.isnan(limit.score.value)
        assert limit.score.reason


def test_when_there_is_no_score():
    assert "diverges" in asymptotics(np.eye(5), 1.3, -0.3).score.reason
    assert "solves every task" in asymptotics(np.eye(5), 1.0, 0.0).score.reason
    assert "no single pair" in asymptotics(np.eye(5), 0.0, 0.5).score.reason


def test_course_starts_where_the_moments_say():
    rng = np.random.default_rng(0)
    u = rng.normal(size=(6, 4))
    course = recovery_course(np.eye(5), 0.3, 0.7, 4, moments=u @ u.T)
    assert len(course) == 3
    # Adding one vector to every q and to w changes nothing.
    moved = u + rng.normal(size=4)
    again = recovery_course(np.eye(5), 0.3, 0.7, 4, moments=moved @ moved.T)
    np.testing.assert_allclose([s.value for s in again], [s.value for s in course], rtol=1e-9)
    # Starting one epoch later is starting from the moments after that epoch.
    phi = epoch_operator(np.eye(5), 0.3, 0.7)
    later = recovery_course(np.eye(5), 0.3, 0.7, 3, moments=phi @ u @ u.T @ phi.T)
    np.testing.assert_allclose([s.value for s in later], [s.value for s in course[1:]], rtol=1e-9)


def test_course_is_that_of_the_losses():
    order = cyclic_order(6, 8)
    ref = recovery_scores(LossMatrix(share_losses(0.4, 0.3, order), order))
    comp = recovery_course(np.eye(6), 0.4, 0.3, 8)
    np.testing.assert_allclose([s.value for s in comp], [s.value for s in ref], rtol=1e-9)
    # Thousands of epochs, long after the losses themselves would have left the floating-point range.
    assert recovery_course(np.eye(6), 0.4, 0.3, 3000)[-1].value == pytest.approx(
        ring_recovery(0.4, 0.3, 6).value, abs=0.02
    )


def test_epochs_until():
    scores = [RecoveryScore(v) for v in (0.1, 0.5, 0.3, 0.49, 0.5)]
    assert epochs_until(scores, 0.5, 0.02) == 4
    assert epochs_until(scores, 0.5, 1.0) == 1
    assert epochs_until(scores, 0.9, 0.02) is None
    assert epochs_until([], 0.5) is None
    assert epochs_until([RecoveryScore(np.nan, "why"), RecoveryScore(0.5)], 0.5) == 2


def test_bad_input():
    with pytest.raises(InputError, match="tolerance"):
        asymptotics(np.eye(4), 0.3, 0.7).epochs(0)
    with pytest.raises(InputError, match="at least 2"):
        recovery_course(np.eye(4), 0.3, 0.7, 1)
    with pytest.raises(InputError, match="every task once"):
        asymptotics(np.eye(3), 0.3, 0.7, order=[0, 1, 1])
