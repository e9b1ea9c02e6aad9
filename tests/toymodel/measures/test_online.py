"""Online loss and backward transfer against walks through the episodes, in orders of every kind."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests import oracles
from toymodel import (
    LossMatrix,
    backward_transfer,
    forgetting,
    intervals,
    online_crossing,
    online_loss,
    online_losses,
    recovery_scores,
    savings,
    shift_averaged,
)
from toymodel.measures.recovery import visits


@st.composite
def matrices(draw):
    """Any order at all: tasks may be absent from an epoch, from all of them, or come twice in a row."""
    T, E = draw(st.integers(2, 5)), draw(st.integers(1, 4))
    values = draw(arrays(float, (1 + E * T, T), elements=st.floats(0, 10)))
    return LossMatrix(values, draw(arrays(np.int64, (E, T), elements=st.integers(0, T - 1))))


@given(matrices())
def test_online_loss_and_transfer(losses):
    online, transfer = oracles.online_and_transfer(losses.values, losses.order)
    np.testing.assert_array_equal(online_losses(losses), online)
    np.testing.assert_allclose(online_loss(losses), np.mean(online, axis=1), rtol=1e-12)
    np.testing.assert_allclose(backward_transfer(losses), transfer, rtol=1e-9, atol=1e-12)


@given(matrices())
def test_measures_by_visit_hold_for_any_order(losses):
    most = max(len(rows) for rows in visits(losses))
    assert len(recovery_scores(losses)) == most - 1
    for n in range(1, most):
        part = intervals(losses, n)
        means = [v.mean() for v in (part.after, part.peak, part.before)]
        np.testing.assert_allclose(means, oracles.recovery_parts(losses.values, losses.order, n))
        assert len(savings(losses, n)) == len(forgetting(losses, n)) == len(part.task)
        assert (forgetting(losses, n) >= 0).all()
    average = shift_averaged(losses)
    trained = [rows[0] for rows in visits(losses) if len(rows)]
    assert average.count[0] == len(trained)
    first = [losses.values[rows[0], task] for task, rows in enumerate(visits(losses)) if len(rows)]
    assert average.mean[0] == pytest.approx(np.mean(first))


def test_known_values():
    values = np.array([[4.0, 6], [1, 5], [2, 0], [0, 3], [1, 1]])
    losses = LossMatrix(values, np.array([[0, 1], [0, 1]]))
    np.testing.assert_array_equal(online_loss(losses), [(4 + 5) / 2, (2 + 3) / 2])
    np.testing.assert_array_equal(backward_transfer(losses), [1 - 2, 0 - 1])
    twice = LossMatrix(values, np.array([[0, 0], [1, 0]]))
    assert np.isnan(backward_transfer(twice)[0])
    assert backward_transfer(twice)[1] == 3 - 1


def test_crossing_is_where_the_first_worse_epoch_begins_to_be_worse():
    drawn = np.ones(5)
    assert online_crossing([1.0, 0.5, 0.5, 2.0, 0.5], drawn) == pytest.approx(3.5)
    assert online_crossing([2.0, 0.5, 0.25, 0.5, 2.0], drawn) == pytest.approx(
        4.5
    )  # the first does not count
    assert online_crossing([1.0, 0.5, 0.9, 1.1, 1.2], drawn) == pytest.approx(
        3 + np.log(1 / 0.9) / np.log(1.1 / 0.9)
    )
    assert online_crossing([1.0, 2.0, 0.5, 0.5, 0.5], drawn) == 2
    assert online_crossing([3.0, 1.0, 1.0, 1.0, 1.0], drawn) is None
