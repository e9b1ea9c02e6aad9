import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toymodel.errors import InputError
from toymodel.losses import LossMatrix
from toymodel.schedules import SCHEDULES, schedule

sizes = st.tuples(st.integers(2, 12), st.integers(1, 6), st.integers(0, 2**32 - 1))


@pytest.mark.parametrize("kind", SCHEDULES)
@given(sizes)
def test_contract(kind, size):
    T, E, seed = size
    order = schedule(kind, T, E, seed)
    assert order.dtype == np.int64
    assert order.shape == (E, T)
    LossMatrix.from_values(np.ones((1 + E * T, T)), order)
    np.testing.assert_array_equal(order, schedule(kind.replace("-", "_"), T, E, seed=seed))
    if kind != "iid":
        np.testing.assert_array_equal(np.sort(order, axis=1), np.tile(np.arange(T), (E, 1)))


@pytest.mark.parametrize("kind", [k for k in SCHEDULES if k != "locally-reversed"])
@given(sizes, st.integers(1, 3))
def test_a_longer_run_begins_with_the_shorter(kind, size, more):
    T, E, seed = size
    np.testing.assert_array_equal(schedule(kind, T, E + more, seed)[:E], schedule(kind, T, E, seed))


@pytest.mark.parametrize("kind", ["shuffled-once", "reshuffled", "iid", "middle-shuffled"])
def test_seeds_matter(kind):
    assert (schedule(kind, 20, 2, 0) != schedule(kind, 20, 2, 1)).any()


def test_what_each_kind_does():
    np.testing.assert_array_equal(schedule("cyclic", 3, 2), [[0, 1, 2], [0, 1, 2]])
    once = schedule("shuffled-once", 20, 3, 4)
    assert (once == once[0]).all()
    assert (once[0] != np.arange(20)).any()
    new = schedule("reshuffled", 20, 3, 4)
    assert (new[0] != new[1]).any()
    assert len(np.unique(schedule("iid", 20, 1, 4))) < 20


@given(sizes, st.data())
def test_middle_shuffled_fixes_the_rest(size, data):
    T, E, seed = size
    until = data.draw(st.integers(1, T))
    order = schedule("middle-shuffled", T, E, seed, until=until, start=min(1, E))
    fixed = [0, *range(until, T)]
    assert (order[:, fixed] == fixed).all()
    assert (order[0] == np.arange(T)).all()
    assert (schedule("middle-shuffled", T, E, seed)[:, [0, -1]] == [0, T - 1]).all()


def test_middle_shuffled_draws_every_middle_position():
    order = schedule("middle-shuffled", 6, 400, until=5)
    for position in range(1, 5):
        counts = np.bincount(order[:, position], minlength=6)[1:5]
        assert counts.min() > 60  # 100 expected, standard deviation 8.7


def test_locally_reversed():
    np.testing.assert_array_equal(
        schedule("locally-reversed", 5, 3), [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4], [1, 0, 3, 2, 4]]
    )
    np.testing.assert_array_equal(
        schedule("locally-reversed", 5, 2, block=3, start=0), [[2, 1, 0, 4, 3], [2, 1, 0, 4, 3]]
    )
    np.testing.assert_array_equal(schedule("locally-reversed", 4, 1, block=4), [[3, 2, 1, 0]])


def test_an_order_of_ones_own():
    np.testing.assert_array_equal(schedule([1, 1, 0], 3, 2), [[1, 1, 0], [1, 1, 0]])
    whole = np.array([[0, 1], [1, 0]], dtype=np.int32)
    result = schedule(whole, 2, 2)
    np.testing.assert_array_equal(result, whole)
    assert result.dtype == np.int64
    result[0, 0] = 1  # a copy: the caller's array is left alone
    assert whole[0, 0] == 0


@pytest.mark.parametrize(
    ("arguments", "options", "says"),
    [
        (("cylic", 5, 2), {}, "cyclic"),
        (("cyclic", 1, 2), {}, "at least 2"),
        (("cyclic", 5, 0), {}, "at least 1"),
        (("cyclic", 5.5, 2), {}, "whole number"),
        (("cyclic", 5, 2, -1), {}, "seed"),
        (("cyclic", 5, 2), {"block": 2}, "no option"),
        (("middle-shuffled", 5, 2), {"untl": 2}, "until="),
        (("middle-shuffled", 5, 2), {"until": 6}, "from 1 to 5"),
        (("middle-shuffled", 5, 2), {"start": 3}, "from -2 to 2"),
        (("locally-reversed", 5, 2), {"block": 0}, "from 1 to 5"),
        (("locally-reversed", 5, 2), {"block": "2"}, "whole number"),
        (([0, 1, 2], 4, 2), {}, "shape"),
        (([0, 1, 4], 3, 2), {}, "from 0 to 2"),
        (([0.0, 1.0], 2, 2), {}, "whole numbers"),
        (([[0, 1], [0]], 2, 2), {}, "shape"),
        (([0, 1], 2, 2), {"block": 1}, "no options"),
    ],
)
def test_bad_input(arguments, options, says):
    with pytest.raises(InputError, match=says) as error:
        schedule(*arguments, **options)
    assert "\n" not in str(error.value)


def test_needs_neither_numba_nor_scipy():
    code = (
        "import sys; import toymodel.schedules as s; s.schedule('iid', 3, 2);"
        "assert not {'numba', 'scipy'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
