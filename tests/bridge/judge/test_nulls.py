import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bridge import continuations, r_squared
from bridge.judge.nulls import low_rank, shrunken, unchanged
from toymodel import LossMatrix, cyclic_order
from toymodel.measures.lag import lags


def shared(tasks=6, epochs=5, carried=0.0, seed=0, size=0.3):
    """A curve in lag that shrinks from epoch to epoch, and departures that come again to a part."""
    rng = np.random.default_rng(seed)
    order = cyclic_order(tasks, epochs)
    visits, since = lags(order)
    scales = rng.uniform(1, 2, tasks)
    values = scales * 0.8**visits * (1 + since / tasks)
    pattern = size * rng.normal(size=(tasks, tasks))
    for epoch in range(1, epochs):
        values[1 + epoch * tasks : 1 + (epoch + 1) * tasks] += carried ** (epoch - 1) * pattern
    return LossMatrix(values, order)


def test_a_curve_that_all_share_goes_on_and_departures_fade():
    losses = shared(carried=0.5)
    known, truth = losses.first_epochs(3), losses.values[1 + 3 * 6 :]
    fading = r_squared(truth, shrunken(known, losses.order[3:]))
    assert fading > 0.93
    assert fading > r_squared(truth, continuations(known, losses.order[3:])["last epoch repeated"])
    # Noise that does not come again is not carried on.
    rng = np.random.default_rng(4)
    noisy = LossMatrix(shared(size=0.0).values + rng.normal(0, 0.3, losses.values.shape), losses.order)
    found = continuations(noisy.first_epochs(3), losses.order[3:])
    clean = shared(size=0.0).values[1 + 3 * 6 :]
    shrunk = found["each entry shrunk to the mean curve in lag"]
    assert r_squared(clean, shrunk) > r_squared(clean, found["each entry continued geometrically"])


@given(seed=st.integers(0, 2**32 - 1), ratio=st.floats(0.1, 0.99))
def test_low_rank_goes_on_by_the_ratio_of_each_pattern(seed, ratio):
    rng = np.random.default_rng(seed)
    block = rng.uniform(1, 2, (5, 1)) * rng.uniform(1, 2, 5)
    values = np.concatenate([np.full((1, 5), 9.0), *(block * ratio**n for n in range(4))])
    losses = LossMatrix(values, cyclic_order(5, 4))
    found = low_rank(losses.first_epochs(2), losses.order[2:])
    assert np.allclose(found, values[11:])


def test_low_rank_leaves_out_what_is_not_of_low_rank():
    rng = np.random.default_rng(1)
    block = np.abs(rng.normal(size=(12, 3)) @ rng.normal(size=(3, 12)))
    values = np.concatenate([np.ones((1, 12)), block, block, block])
    losses = LossMatrix(values, cyclic_order(12, 3))
    left, size, right = np.linalg.svd(block)
    ref = np.maximum((left[:, :3] * size[:3]) @ right[:3], 0)
    assert np.allclose(low_rank(losses.first_epochs(2), losses.order[2:]), ref)


@given(seed=st.integers(0, 2**32 - 1), power=st.integers(-200, 200))
def test_every_continuation_is_free_of_the_unit(seed, power):
    rng = np.random.default_rng(seed)
    losses = LossMatrix(rng.uniform(1, 9, (16, 5)), cyclic_order(5, 3))
    unit = 2.0**power
    ref = continuations(losses, cyclic_order(5, 2))
    comp = continuations(LossMatrix(losses.values * unit, losses.order), cyclic_order(5, 2))
    for name, values in ref.items():
        assert values.shape == (10, 5)
        assert np.allclose(comp[name] / unit, values, rtol=1e-9), name


@given(seed=st.integers(0, 2**32 - 1))
def test_a_run_in_its_own_order_is_unchanged(seed):
    rng = np.random.default_rng(seed)
    order = np.array([rng.permutation(6) for _ in range(3)])
    losses = LossMatrix(rng.uniform(1, 9, (19, 6)), order)
    assert np.array_equal(unchanged(losses, order), losses.values)
    kept = [4, 0, 2]
    found = unchanged(losses, np.array([[0, 1, 2]]), kept)
    assert np.array_equal(found[0], losses.values[0, kept])
    assert found.shape == (4, 3)


def test_beyond_what_was_seen_the_last_loss_stands():
    losses = LossMatrix(np.arange(1.0, 6.0)[:, None] * [1.0, 10.0], cyclic_order(2, 2))
    found = unchanged(losses, np.array([[1, 1], [1, 0]]))
    # Document 1 after its 1st, 2nd and (never seen) 3rd visit; document 0 longer and longer before its first.
    assert found[:, 1].tolist() == [10.0, 30.0, 50.0, 50.0, 50.0]
    assert found[:, 0].tolist() == [1.0, 1.0, 1.0, 1.0, 2.0]


def test_continuations_of_two_epochs_are_losses():
    losses = shared(tasks=5)
    for values in continuations(losses.first_epochs(2), losses.order[2:]).values():
        assert np.isfinite(values).all()
        assert values.min() >= 0
