"""Symmetries of the model that no engine knows of, and when a recovery score has a meaning."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from toymodel import (
    LossMatrix,
    Tasks,
    asymptotics,
    cyclic_order,
    epoch_operator,
    intervals,
    random_tasks,
    recovery_score,
    recovery_scores,
    schedule,
    share_losses,
    shares,
    simulate,
)

seeds = st.integers(0, 2**32 - 1)
engines = st.sampled_from(["direct", "projected", "moment"])
STABLE = 0.05  # times the Gram matrix' trace stays below every limit here


def rotation(rng, n):
    return np.linalg.qr(rng.normal(size=(n, n)))[0]


def losses_of(tasks, name, engine, order, **options):
    rate = STABLE / np.diag(tasks.gram).max()
    return simulate(
        tasks, name, rate=rate, epochs=len(order), order=order, engine=engine, **options
    ).losses.values


@given(seeds, engines, st.sampled_from(["identity", "reflection"]), st.integers(1, 3), st.floats(0.1, 1))
def test_rotations_of_data_and_of_the_embedding_change_no_loss(seed, engine, name, K, eta):
    rng = np.random.default_rng(seed)
    tasks = random_tasks(4, 7, 5, seed=seed)
    data, embedding = rotation(rng, 7), rotation(rng, 5)
    turned = Tasks(tasks.x @ data.T, tasks.y @ embedding.T, embedding @ tasks.P @ data.T, embedding @ tasks.w)
    order = schedule("iid", 4, 3, seed)
    ref = losses_of(tasks, name, engine, order, inner_steps=K, fast_rate=eta)
    comp = losses_of(turned, name, engine, order, inner_steps=K, fast_rate=eta)
    np.testing.assert_allclose(comp, ref, rtol=1e-8, atol=1e-10 * ref.max())


@given(seeds, engines)
def test_renumbered_tasks_have_renumbered_losses(seed, engine):
    rng = np.random.default_rng(seed)
    tasks = random_tasks(5, 7, 3, seed=seed)
    new = rng.permutation(5)  # the new task k is the old task new[k]
    renamed = Tasks(tasks.x[new], tasks.y[new], tasks.P, tasks.w)
    order = schedule("reshuffled", 5, 2, seed)
    ref = losses_of(tasks, "reflection", engine, order)
    comp = losses_of(renamed, "reflection", engine, np.argsort(new)[order])
    np.testing.assert_allclose(comp, ref[:, new], rtol=1e-8, atol=1e-10 * ref.max())


@given(seeds, engines)
def test_losses_scale_with_the_square_of_weights_and_targets(seed, engine):
    tasks = random_tasks(4, 6, 3, seed=seed)
    bigger = Tasks(tasks.x, 3 * tasks.y, 3 * tasks.P, 3 * tasks.w)
    order = cyclic_order(4, 2)
    ref = losses_of(tasks, "reflection", engine, order)
    comp = losses_of(bigger, "reflection", engine, order)
    np.testing.assert_allclose(comp, 9 * ref, rtol=1e-8, atol=1e-9 * ref.max())


@given(seeds)
def test_moments_stay_positive_and_jump_by_whole_epochs(seed):
    tasks = random_tasks(5, 8, 3, seed=seed)
    rate, epochs = STABLE / np.diag(tasks.gram).max(), 6
    S = simulate(tasks, "identity", rate=rate, epochs=epochs, record="S").trajectories["S"]
    for one in S:
        values = np.linalg.eigvalsh(one)
        assert values[0] >= -1e-12 * values[-1]
    phi = np.linalg.matrix_power(epoch_operator(tasks.gram, *shares(rate * np.diag(tasks.gram))), epochs)
    np.testing.assert_allclose(S[-1], phi @ S[0] @ phi.T, atol=1e-11 * np.abs(S[0]).max())


@given(st.integers(2, 8), st.floats(0, 1.2), st.floats(-0.1, 1.2), st.floats(0, 3), st.integers(2, 5))
def test_scores_lie_between_0_and_1_or_say_why_there_is_none(T, A, B, variance, E):
    order = cyclic_order(T, E)
    values = share_losses(A, B, order, variance_w=variance)
    assume(values.max() < 1e6)
    losses = LossMatrix(values, order)
    for n, score in enumerate(recovery_scores(losses), 1):
        part = intervals(losses, n)
        after, peak, before = part.after.mean(), part.peak.mean(), part.before.mean()
        meaningful = peak > after * (1 + 1e-12) and before >= after and peak > 1e-13 * values[0].max()
        assert bool(score) == (not np.isnan(score.value)) == (not score.reason)
        if meaningful and peak - after > 1e-12 * peak:
            assert 0 <= score.value <= 1
            assert score.value == pytest.approx((peak - before) / (peak - after))
        if before < after or peak <= after:
            assert np.isnan(score.value)


def test_losses_that_are_nothing_but_rounding_have_no_score():
    """Moments lose sight of losses below 1e-16 of what they started from; the truth is `asymptotics`."""
    A, B, T, E = 0.9, 0.1, 25, 60
    order = cyclic_order(T, E)
    limit = asymptotics(np.eye(T), A, B)
    scores = recovery_scores(LossMatrix(share_losses(A, B, order), order))
    shown = [score.value for score in scores[9:] if score]
    assert len(shown) >= 8
    assert limit.low - 0.01 <= min(shown)
    assert max(shown) <= limit.high + 0.01
    assert all("rounding" in score.reason for score in scores[25:])


def test_a_loss_that_only_falls_has_no_score():
    values = np.linspace(5, 1, 9)[:, None] * np.ones(2)
    score = recovery_score(LossMatrix(values, cyclic_order(2, 4)), 2)
    assert np.isnan(score.value)
    assert "only falls" in score.reason
