import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toymodel import InputError, Tasks, cyclic_order, random_tasks, shares, simulate
from toymodel.measures.schedules import schedule
from toymodel.theory.ring import turns_per_epoch
from toymodel.theory.trajectories import (
    compressed_run,
    cosines,
    gradient_cosines,
    gram_cosines,
    pairwise_recovery,
    pca,
    step_sizes,
    turns,
    weight_residual_cosines,
    weight_step_gram,
    weight_step_sizes,
)


@st.composite
def recorded(draw, epochs=3):
    """A simulation that keeps P, with what the moment functions may use of it."""
    T, K = draw(st.integers(2, 6)), draw(st.integers(1, 3))
    eta = draw(st.floats(0.2, 0.9))
    dimension, seed = draw(st.integers(T + 1, 12)), draw(st.integers(0, 2**32 - 1))
    tasks = random_tasks(T, dimension, 4, seed=seed, target="normal")
    name, slope = draw(st.sampled_from([("identity", 1.0), ("reflection", -1.0)]))
    rate = draw(st.floats(0.05, 0.8)) / np.trace(tasks.gram)
    order = schedule(draw(st.sampled_from(["cyclic", "reshuffled", "iid"])), T, epochs, 0)
    run = simulate(tasks, name, rate=rate, epochs=epochs, inner_steps=K, fast_rate=eta, order=order,
                   engine="direct", record=("q", "w", "Z", "P"))  # fmt: skip
    share = shares(rate * np.diag(tasks.gram), eta, K)
    return tasks, name, slope, {"rate": rate, "inner_steps": K, "fast_rate": eta}, share, run


def moments(run, row):
    u = np.vstack([run.trajectories["q"][row], run.trajectories["w"][row]])
    return u @ u.T


def explicit_cosines(vectors):
    return np.array([[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in vectors] for a in vectors])


@given(recorded(epochs=1))
def test_gradient_cosines_against_gradients(case):
    tasks, name, slope, _, _, run = case
    P, w = run.trajectories["P"][-1], run.trajectories["w"][-1]
    f = {"identity": lambda y: w, "reflection": lambda y: y - w}[name]
    error = np.array([P @ x - f(y) for x, y in zip(tasks.x, tasks.y, strict=True)])
    slow = np.array([np.outer(e, x).ravel() for e, x in zip(error, tasks.x, strict=True)])
    fast = -slope * error
    S = moments(run, -1)
    for part, ref in (("slow", slow), ("fast", fast), ("all", np.hstack([slow, fast]))):
        comp = gradient_cosines(S, tasks.gram, slope=slope, part=part)
        # Inner products of differences as small as 1e-4 of the vectors keep half of all digits.
        clear = (error**2).sum(1) > 1e-8 * S.max()
        assert np.isfinite(comp[np.ix_(clear, clear)]).all()
        np.testing.assert_allclose(comp[np.ix_(clear, clear)], explicit_cosines(ref[clear]), atol=1e-7)


@given(recorded(epochs=1))
def test_pairwise_recovery_against_trying_every_task(case):
    tasks, name, slope, options, share, run = case
    T = len(tasks.x)
    state = Tasks(tasks.x, tasks.y, run.trajectories["P"][-1], run.trajectories["w"][-1])
    comp = pairwise_recovery(moments(run, -1), tasks.gram, *share, slope=slope)
    for i in range(T):
        tried = simulate(state, name, epochs=1, order=np.full((1, T), i), engine="direct", **options).losses
        np.testing.assert_allclose(
            comp[i], tried.values[0] - tried.values[1], atol=1e-10 * (1 + tried.values.max())
        )


@given(recorded())
def test_compressed_run_has_the_same_inner_products(case):
    tasks, _, _, _, share, run = case
    q, w = compressed_run(moments(run, 0), tasks.gram, *share, run.losses.order)
    assert q.shape[2] <= len(tasks.x) + 1
    full = np.concatenate([run.trajectories["q"], run.trajectories["w"][:, None]], axis=1).reshape(-1, 4)
    small = np.concatenate([q, w[:, None]], axis=1).reshape(len(full), -1)
    np.testing.assert_allclose(small @ small.T, full @ full.T, atol=1e-7 * (1 + np.abs(full).max() ** 2))


@given(recorded(), st.sampled_from(["all", "slow", "fast"]))
def test_weight_trajectory_against_the_weights(case, part):
    tasks, _, slope, _, share, run = case
    P, w = run.trajectories["P"], run.trajectories["w"]
    weights = {"slow": P.reshape(len(P), -1), "fast": w}
    weights["all"] = np.hstack([weights["slow"], weights["fast"]])
    theta, order = weights[part], run.losses.order
    steps = weight_step_gram(run.trajectories["q"], w, order, tasks.gram, share[0], slope=slope, part=part)
    np.testing.assert_allclose(
        weight_step_sizes(steps), np.linalg.norm(np.diff(theta, axis=0), axis=1), rtol=1e-6, atol=1e-9
    )
    T = len(tasks.x)
    rows, comp = weight_residual_cosines(steps, T)
    residuals = []
    for t in rows:
        ends = [t - T / 2, t + T / 2]  # paper eq. 2; for even T each end belongs to the window by half
        weight = [max(0.0, min(n + 0.5, ends[1]) - max(n - 0.5, ends[0])) for n in range(len(theta))]
        assert sum(weight) == pytest.approx(T)
        residuals.append(theta[t] - np.average(theta, axis=0, weights=weight))
    assert rows[0] == T // 2
    assert rows[-1] == len(theta) - 1 - T // 2
    lengths = np.linalg.norm(residuals, axis=1)
    clear = lengths > 1e-4 * lengths.max()
    ref = explicit_cosines(np.array(residuals)[clear])
    np.testing.assert_allclose(comp[np.ix_(clear, clear)], ref, atol=1e-6)


def test_activations_move_only_when_trained_if_data_are_orthogonal():
    rng = np.random.default_rng(0)
    T, M = 5, 7
    tasks = Tasks(np.eye(T), np.zeros((T, M)), rng.normal(size=(M, T)), rng.normal(size=M))
    activations = simulate(tasks, "identity", rate=0.3, epochs=15, record="Z").trajectories["Z"][:, 1]
    sizes = step_sizes(activations)
    trained = np.arange(15 * T) % T == 1
    assert (sizes[~trained] == 0).all()
    assert (np.diff(sizes[trained]) < 0).all()
    similarity = cosines(activations)
    epoch = np.searchsorted(np.flatnonzero(trained) + 1, np.arange(1 + 15 * T), side="right")
    for e in range(16):
        np.testing.assert_allclose(similarity[np.ix_(epoch == e, epoch == e)], 1)  # a block per epoch
    blocks = [similarity[np.argmax(epoch == e), np.argmax(epoch == e + 1)] for e in range(15)]
    assert 1 - blocks[-1] < 0.1 * (1 - min(blocks))  # neighbouring blocks grow alike: the paper's Fig. 8d


@given(st.integers(2, 9), st.integers(1, 9), st.integers(0, 10**6))
def test_pca_by_vectors_and_by_inner_products(n, d, seed):
    points = np.random.default_rng(seed).normal(size=(n, d))
    a, b = pca(points, 2), pca(gram=points @ points.T, components=2)
    np.testing.assert_allclose(a.explained, b.explained, atol=1e-9)
    centred = points - points.mean(0)
    variances = np.sort(np.linalg.eigvalsh(centred.T @ centred))[::-1]
    share = np.append(variances, 0)[:2] / variances.sum()
    np.testing.assert_allclose(a.explained, share, atol=1e-9)
    # Coordinates up to sign and, where two variances meet, rotation: their distances are what counts.
    np.testing.assert_allclose((a.coordinates**2).sum(0), (b.coordinates**2).sum(0), atol=1e-7)
    full = pca(points, n)
    gaps = ((full.coordinates[:, None] - full.coordinates) ** 2).sum(2)
    np.testing.assert_allclose(gaps, ((points[:, None] - points) ** 2).sum(2), atol=1e-9)


def test_coinciding_points_have_no_components():
    same = pca(np.ones((4, 3)))
    assert np.isnan(same.explained).all()
    assert (same.coordinates == 0).all()


def test_solution_vectors_become_a_ring_in_the_order_of_tasks():
    """Fig. 11: nothing at the start, one turn after ten epochs; and half the variance more in a plane."""
    T = 25
    q, w = compressed_run(np.diag([1.0] * T + [0.3]), np.eye(T), 1 / 3, 2 / 3, cyclic_order(T, 40))
    start, end = pca(q[0]), pca(q[-1])
    assert turns(end.coordinates, closed=True) == pytest.approx(1)
    assert end.explained.sum() > 0.9
    assert start.explained.sum() < 0.2
    radii = np.linalg.norm(end.coordinates, axis=1)
    assert radii.std() < 0.1 * radii.mean()


@pytest.mark.parametrize(("A", "B"), [(1 / 3, 2 / 3), (0.3, 0.3)])
def test_fast_weights_turn_as_often_as_predicted(A, B):
    """Fig. 9: the helix, a little less than one turn per epoch."""
    T, epochs = 25, 60
    _, w = compressed_run(np.diag([1.0] * T + [0.3]), np.eye(T), A, B, cyclic_order(T, epochs))
    late = pca(w[-20 * T :]).coordinates
    assert turns(late) / 20 == pytest.approx(turns_per_epoch(A, B, T), abs=0.01)
    assert turns(late) / 20 < 0.99


def test_a_solved_task_has_no_gradient_direction():
    tasks = random_tasks(5, 8, 6, seed=0)
    S = simulate(tasks, "identity", rate=0.01, epochs=1, record="S").trajectories["S"][-1]
    found = gradient_cosines(S, tasks.gram)
    assert np.isnan(found[4]).all()
    assert np.isnan(found[:, 4]).all()
    np.testing.assert_allclose(np.diag(found)[:4], 1)


def test_turns_of_known_paths():
    angle = np.linspace(0, 2 * np.pi, 50, endpoint=False)
    circle = np.column_stack([np.cos(angle), np.sin(angle)])
    assert turns(circle, closed=True) == pytest.approx(1)
    assert turns(circle[::-1], closed=True) == pytest.approx(1)
    assert turns(np.tile(circle, (3, 1)), closed=True) == pytest.approx(3)
    assert turns([[-1, 0], [1, 0.0], [-1, 0], [1, 0]], closed=True) == pytest.approx(0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: gradient_cosines(np.eye(4), np.eye(3), part="both"),
        lambda: gradient_cosines(np.ones((4, 3)), np.eye(3)),
        lambda: weight_step_gram(np.ones((4, 3, 2)), np.ones((4, 2)), [[0, 1, 2]], np.eye(3), 0.1, part="P"),
        lambda: weight_step_gram(np.ones((3, 3, 2)), np.ones((4, 2)), [[0, 1, 2]], np.eye(3), 0.1),
        lambda: weight_residual_cosines(np.eye(4), 6),
        lambda: compressed_run(-np.eye(4), np.eye(3), 0.1, 0.2, [[0, 1, 2]]),
        lambda: compressed_run(np.eye(3), np.eye(3), 0.1, 0.2, [[0, 1, 2]]),
        lambda: pca(np.ones((3, 2)), 4),
        lambda: pca(),
        lambda: turns(np.ones((3, 3))),
    ],
)
def test_bad_input(call):
    with pytest.raises(InputError, match="Fix:"):
        call()


def test_gram_cosines_of_nothing():
    assert np.isnan(gram_cosines(np.zeros((2, 2)))).all()
