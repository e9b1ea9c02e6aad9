import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toymodel.base.errors import InputError
from toymodel.measures.losses import LossMatrix
from toymodel.measures.recovery import recovery_score, recovery_score_per_task
from toymodel.measures.schedules import SCHEDULES, each_once, load_order, period, schedule
from toymodel.moments import share_losses

# Two epochs at least: a palindrome of one has no way back.
sizes = st.tuples(st.integers(2, 12), st.integers(2, 6), st.integers(0, 2**32 - 1))


@pytest.mark.parametrize("kind", SCHEDULES)
@given(sizes)
def test_contract(kind, size):
    T, E, seed = size
    order = schedule(kind, T, E, seed)
    assert order.dtype == np.int64
    assert order.shape == (E, T)
    LossMatrix.from_values(np.ones((1 + E * T, T)), order)
    np.testing.assert_array_equal(order, schedule(kind.replace("-", "_"), T, E, seed=seed))
    if kind not in ("iid", "spaced"):
        assert each_once(order)
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


def test_palindrome_and_spaced():
    np.testing.assert_array_equal(schedule("palindrome", 3, 3), [[0, 1, 2], [2, 1, 0], [0, 1, 2]])
    np.testing.assert_array_equal(
        schedule("spaced", 7, 3), [[0, 1, 2, 3, 4, 5, 6], [1, 1, 2, 4, 4, 5, 6], [0, 1, 2, 3, 4, 5, 6]]
    )
    np.testing.assert_array_equal(schedule("spaced", 4, 3, every=3, part=2)[1:], [[1, 1, 3, 3]] * 2)


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [("cyclic", {}, 1), ("shuffled-once", {}, 1), ("reshuffled", {}, None), ("iid", {}, None),
     ("palindrome", {}, 2), ("spaced", {}, 2), ("spaced", {"every": 3}, 3), ("locally-reversed", {}, None),
     ("locally-reversed", {"start": 0}, 1)],
)  # fmt: skip
def test_period(kind, options, expected):
    assert period(schedule(kind, 12, 6, **options)) == expected
    assert period(schedule("palindrome", 12, 2)) == 2


@pytest.mark.parametrize("suffix", [".npy", ".json"])
@given(sizes, st.booleans())
def test_an_order_from_a_file(tmp_path_factory, suffix, size, whole):
    T, E, seed = size
    order = schedule("iid", T, E, seed)[: None if whole else 1]
    path = tmp_path_factory.mktemp("o") / f"order{suffix}"
    given_order = order if whole else order[0]
    if suffix == ".npy":
        np.save(path, given_order)
    else:
        path.write_text(json.dumps(given_order.tolist()))
    np.testing.assert_array_equal(schedule(load_order(path), T, E), np.broadcast_to(order, (E, T)))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [("o.csv", b"0,1", "ending in .npy or .json"), ("o.json", b"[[0, 1], [1]]", "epochs of 1 to 2"),
     ("o.json", b"[[0, 1.5]]", "float64"), ("o.json", b"{", "cannot be read"),
     ("o.json", b"[" * 10**5, "cannot be read"),
     ("o.json", b"3", "holds 3"), ("o.npy", b"junk", "cannot be read"), ("o.json", b"\xff", "cannot be read"),
     ("o.json", b'[["a", "b"]]', "whole numbers"), ("o.json", b'{"order": [0]}', "an object"),
     ("o.json", b"[]", "shape"), ("o.json", b"[true, false]", "true or false"),
     ("o.json", b"[[true, 0, 2]]", "true or false"), ("o.json", b"[[[0]]]", "shape"),
     ("o.json", b"[[[0], [1, 2]]]", "lists in lists"), ("o.json", b"[0, [1]]", "epochs of 0 to 1"),
     ("o.json", b"[[0.0, 1.0]]", "order.astype")],
)  # fmt: skip
def test_bad_order_files(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=says) as error:
        load_order(tmp_path / name)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="no file"):
        load_order(tmp_path / "none.npy")


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
        (("palindrome", 5, 1), {}, "2 or more"),
        (("spaced", 5, 2), {"every": 1}, "2 epochs"),
        (("spaced", 5, 2), {"part": 6}, "from 2 to 5"),
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
        "import sys; import toymodel.measures.schedules as s; s.schedule('iid', 3, 2);"
        "assert not {'numba', 'scipy'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def recoveries(kind, seeds=4, n=4, **options):
    """Recovery score of interval n over all tasks and of task 1 alone, in expectation; mean over seeds."""
    every, first = [], []
    for seed in range(seeds):
        order = schedule(kind, 25, 5, seed, **options)
        losses = LossMatrix(share_losses(1 / 3, 2 / 3, order, variance_w=1 / 3), order)
        every.append(recovery_score(losses, n).value)
        first.append(recovery_score_per_task(losses, n)[0].value)
    return np.mean(every), np.mean(first)


def test_recovery_needs_a_sequence():
    """The two controls the paper lacks, beside the cyclic order; any fixed order does as well as that."""
    cyclic, _ = recoveries("cyclic", seeds=1)
    assert recoveries("shuffled-once")[0] == pytest.approx(cyclic, abs=1e-9)
    assert recoveries("reshuffled")[0] < 0.6 * cyclic
    # Independent draws leave few tasks with many visits: interval 2.
    assert recoveries("iid", n=2)[0] < 0.8 * recoveries("cyclic", seeds=1, n=2)[0]


def test_the_first_task_recovers_though_the_middle_is_shuffled():
    """Fig. 12: N = 8, 16, 24 of 25; between x_25 and x_1 nothing is disturbed, so x_1 still recovers."""
    _, alone = recoveries("cyclic", seeds=1)
    others = []
    for until in (8, 16, 24):
        every, first = recoveries("middle-shuffled", until=until)
        assert first > 0.9 * alone
        others.append(every)
    assert others[0] > others[1] > others[2]  # the shuffled tasks themselves lose it


@pytest.mark.parametrize(("T", "A"), [(25, 1 / 3), (24, 0.5), (25, 0.1)])
def test_a_task_primes_the_one_before_it_nearly_as_much_as_the_one_after(T, A):
    """Section 4 of the paper, locally reversed order, in expectation."""
    E = 5
    first = (E - 1) * T
    losses = {
        kind: share_losses(A, 1 - A, schedule(kind, T, E), variance_w=1 / 3)
        for kind in ("cyclic", "locally-reversed")
    }
    pairs = np.arange(0, T - 1, 2)
    forward = losses["cyclic"][first + pairs, pairs + 1] - losses["cyclic"][first + pairs + 1, pairs + 1]
    swapped = losses["locally-reversed"]
    backward = swapped[first + pairs, pairs] - swapped[first + pairs + 1, pairs]
    assert (forward > 0).all()
    assert 0.9 < backward.mean() / forward.mean() < 1
    np.testing.assert_allclose(backward[3:] / forward[3:], 1, atol=0.05)


def test_an_order_of_other_numbers_of_tasks_is_told_which():
    with pytest.raises(InputError, match=r"shape \(2, 4\).*4 tasks and 2 epochs"):
        schedule([[0, 1, 2, 3], [3, 2, 1, 0]], 5, 2)
    for order, fix in (
        ([[0, 1, 2], [2, 1, 0]], "epochs=2"),
        ([0, 1, 2] * 4, r"order.reshape\(4, 3\)"),
        ([0, 1], "a task for each of 3 episodes"),
    ):
        with pytest.raises(InputError, match=f"Fix: {fix}$"):
            schedule(order, 3, 4)
