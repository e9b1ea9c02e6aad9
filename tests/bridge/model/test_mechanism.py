from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.mechanism import Mechanism
from tests.oracles import share_moments
from toymodel import InputError, cyclic_order, shares, simulate
from toymodel.tasks import Tasks

FORMS = [
    Mechanism(channels=1, drift="none", link="linear", nearness=False, pairs=False),
    Mechanism(channels=1, drift="loss", link="saturating", nearness=True, pairs=False),
    Mechanism(channels=2, drift="epoch", link="power", nearness=False, pairs=True),
    Mechanism(channels=2, drift="epoch", link="exponential", nearness=True, pairs=True),
    Mechanism(channels=3, drift="none", link="power", nearness=True, pairs=False),
    Mechanism(channels=2, drift="epoch", link="saturating", nearness=False, pairs=False, interference=True),
    Mechanism(channels=1, drift="loss", link="linear", nearness=False, pairs=False, interference=True),
    Mechanism(channels=1, drift="none", link="saturating", nearness=False, pairs=False, diffusion=True),
    Mechanism(
        channels=2,
        drift="slow",
        link="linear",
        nearness=False,
        pairs=False,
        interference=True,
        diffusion=True,
    ),
    Mechanism(channels=1, drift="slow", link="saturating", nearness=False, pairs=False, sharing="uniform"),
    Mechanism(
        channels=2, drift="loss", link="linear", nearness=False, pairs=False, diffusion=True, sharing="beta"
    ),
    Mechanism(channels=1, drift="epoch", link="power", nearness=True, pairs=False, sharing="beta"),
]


def drawn(form, seed, tasks=6, epochs=3):
    rng = np.random.default_rng(seed)
    theta = np.array([t.centre + 0.5 * t.width * rng.normal() for t in form.terms])
    order = np.array([rng.permutation(tasks) for _ in range(epochs)])
    pairs = rng.normal(0, 0.1, tasks * (tasks - 1) // 2) if form.pairs else None
    return theta, order, pairs


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.name)
@given(seed=st.integers(0, 2**32 - 1))
def test_derivatives_are_those_of_the_losses(form, seed):
    theta, order, pairs = drawn(form, seed)
    value = form.evaluate(theta, order, pairs, features=form.pairs)
    step = 1e-6

    def central(move):
        up, down = move(step), move(-step)
        return (form.losses(*up) - form.losses(*down)) / (2 * step)

    ref = np.array([central(lambda h, e=e: (theta + h * e, order, pairs)) for e in np.eye(len(theta))])
    assert np.allclose(value.jacobian, ref, atol=2e-7 * max(1.0, np.abs(ref).max()))
    if form.pairs:
        ref = np.stack(
            [central(lambda h, e=e: (theta, order, pairs + h * e)) for e in np.eye(len(pairs))], -1
        )
        assert np.allclose(value.features, ref, atol=2e-7 * max(1.0, np.abs(ref).max()))


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.name)
@given(data=st.data())
def test_everything_is_finite_in_all_of_the_box(form, data):
    theta = np.array([data.draw(st.floats(low, high)) for low, high in zip(*form.bounds, strict=True)])
    tasks = 20
    pairs = np.full(tasks * (tasks - 1) // 2, -0.05) if form.pairs else None
    value = form.evaluate(theta, cyclic_order(tasks, 8), pairs, features=form.pairs)
    for part in (value.shapes, value.jacobian, value.features if form.pairs else 0.0):
        assert np.isfinite(np.square(part)).all()


@given(seed=st.integers(0, 2**32 - 1))
def test_expected_losses_are_those_of_explicit_matrices(seed):
    form = Mechanism(channels=1, drift="epoch", link="linear", nearness=True, pairs=True)
    theta, order, pairs = drawn(form, seed)
    order = np.tile(order[0], (3, 1))  # one order, so that the oracle's one Gram matrix holds throughout
    tasks = order.shape[1]
    ratio, _ = form.similarity(theta, order)
    value = form.evaluate(theta, order, pairs)
    moments = np.eye(tasks + 1)
    moments[np.triu_indices(tasks, 1)] = pairs
    moments = np.triu(moments) + np.triu(moments, 1).T
    moments[tasks, tasks] = np.exp(theta[2])
    slow, fast = value.shares[0].T
    ref = share_moments(slow, fast, order, moments, ratio[0])
    assert np.allclose(value.shapes, ref / ((1 + np.exp(theta[2])) / 2), atol=1e-10)


@given(rate=st.floats(0.02, 0.5), fast=st.floats(0.05, 0.6), inner=st.integers(1, 5), more=st.integers(1, 4))
def test_more_steps_per_episode_are_more_inner_steps(rate, fast, inner, more):
    # Twice the steps: u becomes u^2 while the slow share stays, exactly as in the toy model itself.
    form = Mechanism(channels=1, drift="none", link="linear", nearness=False, pairs=False)
    a, b = (float(v) for v in shares(rate, fast, inner))
    terms = dict(zip(form.names, form.terms, strict=True))
    theta = np.array([
        terms["unfitted_fraction"].free(1 - a - b), terms["slow_share"].free(a / (a + b)), np.log(2.0)
    ])  # fmt: skip
    order = cyclic_order(5, 3)
    x = np.eye(5)
    tasks = Tasks(x=x, y=np.zeros((5, 6)), P=np.eye(6)[:, :5], w=np.sqrt(2.0) * np.eye(6)[5])
    ref = simulate(tasks, "identity", rate=rate, epochs=3, inner_steps=inner * more, fast_rate=fast).losses
    comp = form.losses(theta, order, steps=float(more))
    assert np.allclose(comp * ref.values[0, 0], ref.values, atol=1e-10)


@pytest.mark.parametrize(("epochs", "left"), [(1, 0.4), (2, 0.6)])
def test_documents_similar_by_chance_are_those_of_a_space_of_few_dimensions(epochs, left):
    # Expected losses over unit vectors drawn in N dimensions. The steps are taken to be independent; those of
    # the second epoch come again in the direction of the first, which leaves half of what they add.
    tasks, dimensions, rng = 8, 60, np.random.default_rng(0)
    plain = Mechanism(channels=1, drift="none", link="linear", nearness=False, pairs=False)
    theta = np.array([-0.5, 0.0, 0.0, -np.log(dimensions)])
    order = np.array([rng.permutation(tasks) for _ in range(epochs)])
    a, b = plain.evaluate(theta[:3], order, jacobian=False).shares[0].T
    drawn = np.zeros((1 + order.size, tasks))
    for _ in range(400):
        x = rng.normal(size=(dimensions, tasks))
        x /= np.linalg.norm(x, axis=0)
        drawn += share_moments(a, b, order, np.eye(tasks + 1), x.T @ x) / 400
    chance = replace(plain, interference=True).losses(theta, order) * drawn[0, 0]
    without = plain.losses(theta[:3], order) * drawn[0, 0]
    assert np.abs(chance - drawn).mean() < left * np.abs(without - drawn).mean()
    assert (chance >= without - 1e-12).all()


def test_solutions_that_diffuse_are_those_that_random_steps_move():
    tasks, size, rng = 6, 40_000, np.random.default_rng(4)
    form = Mechanism(channels=1, drift="none", link="linear", nearness=False, pairs=False, diffusion=True)
    theta, order = np.array([-0.4, 0.2, -0.5, np.log(0.02)]), cyclic_order(tasks, 3)
    (a, b), v = form.evaluate(theta, order, jacobian=False).shares[0][0], np.exp(-0.5)
    q, w = rng.normal(size=(tasks, size)), np.sqrt(v) * rng.normal(size=size)
    ref = [((q - w) ** 2).mean(1)]
    for i in order.ravel():
        residual = q[i] - w
        w = w + b * residual
        steps = np.sqrt(0.02) * rng.normal(size=q.shape)
        steps[i] = -a * residual
        q = q + steps
        ref.append(((q - w) ** 2).mean(1))
    comp = form.losses(theta, order) * (1 + v)
    assert comp == pytest.approx(np.array(ref), rel=0.05)


def test_nearness_follows_the_order_and_an_average_over_epochs():
    form = Mechanism(channels=1, drift="none", link="linear", pairs=False)
    theta = np.array([0.0, 0.0, 0.0, 0.5, np.log(2.0)])
    order = np.array([[0, 1, 2, 3], [0, 2, 1, 3]])
    ratio, _ = form.similarity(theta, order)
    apart = {1: 0.5, 2: 0.5 * np.exp(-0.5)}
    assert ratio[0, 0, 1] == pytest.approx(apart[1])
    assert ratio[0, 0, 2] == pytest.approx(apart[2])
    assert ratio[1, 0, 1] == pytest.approx((apart[1] + apart[2]) / 2)
    assert np.array_equal(np.diagonal(ratio, axis1=1, axis2=2), np.ones((2, 4)))


def test_power_one_is_the_linear_link_and_a_small_rate_too():
    order = cyclic_order(5, 3)
    linear = Mechanism(channels=1, drift="none", link="linear", nearness=False, pairs=False)
    theta = np.array([0.3, -0.5, 0.2])
    ref = linear.losses(theta, order)
    for link, value, tolerance in (
        ("power", 0.0, 1e-14),
        ("exponential", -12.0, 1e-5),
        ("saturating", 12.0, 1e-5),
    ):
        form = Mechanism(channels=1, drift="none", link=link, nearness=False, pairs=False)
        assert np.allclose(form.losses(np.append(theta, value), order), ref, atol=tolerance)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"channels": 0}, "channels=0"),
        ({"drift": "epochs"}, "drift='epochs'"),
        ({"link": "cubic"}, "link='cubic'"),
        ({"drift": "loss", "pairs": True}, "drift with the loss"),
        ({"interference": True}, "interference with nearness or pairs"),
        ({"diffusion": True}, "diffusion with nearness or pairs"),
    ],
)
def test_a_form_that_cannot_be_is_refused(wrong, words):
    with pytest.raises(InputError, match=words):
        Mechanism(**wrong)


def test_shares_stay_after_the_epochs_in_which_they_drift():
    form = Mechanism(channels=1, nearness=False, pairs=False, link="linear")
    theta, _, _ = drawn(form, 2)
    order = cyclic_order(6, 5)
    whole = form.evaluate(theta, order).shares[0].reshape(5, 6, 2)
    held = form.evaluate(theta, order, drifting=3).shares[0].reshape(5, 6, 2)
    assert np.array_equal(held[:3], whole[:3])
    assert np.array_equal(held[3:], np.broadcast_to(held[2], (2, 6, 2)))
    assert not np.allclose(whole[3], whole[2])
    losses = form.losses(theta, order, drifting=3)
    assert np.array_equal(losses[:19], form.losses(theta, order)[:19])
    assert np.array_equal(losses, form.evaluate(theta, order, drifting=3).shapes)
