import numpy as np
import pytest

from bridge.studies.cosines import MeasuredSimilarity, compare
from tests.bridge.model.test_mechanism import drawn
from tests.bridge.simulated import simulated
from toymodel import InputError, cyclic_order


def similar(tasks, seed):
    x = np.random.default_rng(seed).normal(size=(tasks, 3))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x @ x.T


def test_derivatives_by_the_factor_of_measured_similarity():
    form = MeasuredSimilarity(channels=1, pairs=False, cosines=similar(6, 0))
    theta, order, _ = drawn(form, 4)
    value = form.evaluate(theta, order)
    for p in range(len(theta)):
        up, down = theta.copy(), theta.copy()
        up[p] += 1e-5
        down[p] -= 1e-5
        ref = (form.losses(up, order) - form.losses(down, order)) / 2e-5
        assert np.allclose(value.jacobian[p], ref, atol=1e-6)
    assert np.abs(value.jacobian[-2]).max() > 1e-3
    assert not value.jacobian[-1].any()  # the reach plays no part


def test_similarity_that_is_there_is_found_and_no_other():
    cosines = similar(8, 1)
    form = MeasuredSimilarity(channels=1, pairs=False, link="linear", cosines=cosines)
    theta, _, _ = drawn(form, 5)
    theta[-2] = 0.25
    losses = simulated(form, theta, np.random.default_rng(6), tasks=8, epochs=4, deviation=0.02)
    assert np.array_equal(losses.order, cyclic_order(8, 4))
    gains = compare(losses, cosines, pairs=False)
    assert gains["measured cosines"] > 50
    assert gains["measured cosines"] > gains["cosines of other documents"] + 20


def test_cosines_of_other_documents_are_refused():
    form = MeasuredSimilarity(channels=1, pairs=False)
    losses = simulated(form, drawn(form, 0)[0], np.random.default_rng(0), tasks=5, epochs=3)
    with pytest.raises(InputError, match=r"\(4, 4\).*\(5, 5\)"):
        compare(losses, similar(4, 0))
