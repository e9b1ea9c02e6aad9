"""Directions that some documents use: against coordinates drawn one by one, and rings run one by one."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bridge.judge.curves import means_by_visit_and_lag
from bridge.model import sharing
from bridge.model.mechanism import Mechanism
from bridge.model.sharing import directions
from tests.oracles import share_moments
from toymodel import InputError, cyclic_order

PLAIN = Mechanism(channels=1, drift="slow", link="linear", nearness=False, pairs=False)
BETA = replace(PLAIN, sharing="beta")
# logit u, logit s, log v, drift of logit s
THETA = np.array([-0.4, 0.2, -0.5, -0.6])


@given(tasks=st.integers(1, 60), log=st.floats(-3, 5))
def test_parts_of_a_loss_are_all_of_it(tasks, log):
    place, parts = directions(tasks, float(np.exp(log)))
    assert parts[0].sum(0) == pytest.approx(1)
    assert parts[1].sum(0) == pytest.approx(0, abs=1e-9)
    assert ((parts[0] > 0) == (place >= 0)).all()
    assert (place[-1] == np.arange(tasks)).all()
    step = 1e-5
    up, down = (directions(tasks, float(np.exp(log + h)))[1][0] for h in (step, -step))
    assert parts[1] == pytest.approx((up - down) / (2 * step), abs=1e-7)


@pytest.mark.parametrize("g", [0.3, 1.0, 4.0])
def test_numbers_of_others_are_beta_binomial(g):
    place, parts = directions(5, g)  # few enough for every size to be worked out
    sizes = (place >= 0).sum(1)
    found = [parts[0][sizes == k].sum(0).mean() for k in range(1, 6)]
    assert found == pytest.approx(stats.betabinom(4, g, 1).pmf(np.arange(5)))


@given(tasks=st.integers(2, 40))
def test_every_document_is_in_as_many_subsets(tasks):
    place, _ = directions(tasks, 1.0)
    member = place >= 0
    for row, size in zip(place, member.sum(1), strict=True):
        assert sorted(row[row >= 0]) == list(range(size))
    for size in set(member.sum(1)):
        often = member[member.sum(1) == size].sum(0)
        draws = often.max() if tasks % size else 0
        assert often.max() - often.min() <= draws
        assert often.min() >= 1


@given(seed=st.integers(0, 2**32 - 1), log=st.floats(-1, 2), fixed=st.booleans())
def test_losses_are_those_of_every_ring_by_itself(seed, log, fixed):
    rng, tasks, epochs = np.random.default_rng(seed), 6, 3
    order = np.array([rng.permutation(tasks) for _ in range(epochs)])
    order = np.tile(order[0], (epochs, 1)) if fixed else order
    theta = THETA + 0.5 * rng.normal(size=4)
    place, parts = directions(tasks, float(np.exp(log)))
    slow, fast = PLAIN.evaluate(theta, order, jacobian=False).shares[0].T
    ref = np.zeros((1 + order.size, tasks))
    for row, part in zip(place, parts[0], strict=True):
        members = np.flatnonzero(row >= 0)
        moments = np.eye(len(members) + 1)
        moments[-1, -1] = np.exp(theta[2])
        trained = row[order.ravel()]
        own, shape = trained >= 0, (epochs, len(members))
        rings = share_moments(
            slow[own], fast[own], trained[own].reshape(shape), moments, np.eye(len(members))
        )
        before = np.concatenate([[0], np.cumsum(own)])
        ref[:, members] += part[members] * rings[before] / rings[0]
    comp = BETA.losses(np.append(theta, log), order)
    np.testing.assert_allclose(comp, ref, atol=1e-10)


@pytest.mark.parametrize("reshuffled", [False, True])
@pytest.mark.parametrize("g", [0.5, 1.0, 3.0])
def test_losses_are_those_of_coordinates_drawn_one_by_one(reshuffled, g):
    tasks, epochs, count, rng = 8, 3, 30_000, np.random.default_rng(3)
    order = cyclic_order(tasks, epochs)
    if reshuffled:
        order = np.array([rng.permutation(tasks) for _ in range(epochs)])
    slow, fast = PLAIN.evaluate(THETA, order, jacobian=False).shares[0].T
    # The density is that of a loss, and a coordinate is in it with probability p: it counts 1/p.
    fraction = rng.beta(g, 1, count)
    uses = rng.uniform(size=(tasks, count)) < fraction
    weight = uses / fraction
    q, w = rng.normal(size=(tasks, count)), np.exp(THETA[2] / 2) * rng.normal(size=count)
    ref = [(weight * (q - w) ** 2).sum(1)]
    for i, a, b in zip(order.ravel(), slow, fast, strict=True):
        residual = np.where(uses[i], q[i] - w, 0.0)
        q[i] -= a * residual
        w = w + b * residual
        ref.append((weight * (q - w) ** 2).sum(1))
    ref = np.array(ref) / ref[0]
    found = BETA.losses(np.append(THETA, np.log(g)), order), PLAIN.losses(THETA, order)
    off, without = (float(np.sqrt(np.mean((one - ref) ** 2))) for one in found)
    assert off < 0.01
    assert without > 2 * off


def test_when_all_share_everything_it_is_the_toy_model():
    order = cyclic_order(7, 4)
    comp = BETA.losses(np.append(THETA, np.log(1e7)), order)
    np.testing.assert_allclose(comp, PLAIN.losses(THETA, order), atol=1e-5)


def test_curves_are_those_of_many_more_subsets(monkeypatch):
    order = cyclic_order(25, 5)
    form = replace(PLAIN, sharing="uniform")

    def curves():
        for function in (directions, sharing._sizes, sharing._interpolation, sharing._subsets):
            function.cache_clear()
        return means_by_visit_and_lag(order, form.losses(THETA, order))[0]

    comp = curves()
    with monkeypatch.context() as patch:
        patch.setattr(sharing, "_RATIO", 1.01)
        patch.setattr(sharing, "_MEMBERS", 20_000)
        ref = curves()
    curves()  # as it was
    assert np.sqrt(np.nanmean((comp - ref) ** 2)) < 0.003


def test_directions_of_correlated_documents_are_refused():
    with pytest.raises(InputError, match="Fix: pairs=False"):
        Mechanism(sharing="uniform")
    with pytest.raises(InputError, match="sharing='some'.*all, uniform, beta"):
        Mechanism(pairs=False, sharing="some")
