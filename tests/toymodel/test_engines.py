import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import toymodel.maps as maps
from tests import oracles
from toymodel import (
    InputError,
    StabilityWarning,
    Tasks,
    cyclic_order,
    episode_noise,
    epoch_operator,
    expected_losses,
    moment_losses,
    moments_after,
    random_gram,
    random_tasks,
    sample_moments,
    share_losses,
    shares,
    simulate,
)
from toymodel.moments import losses_of

SCALAR = ["identity", "reflection", "affine", "per-task"]
AFFINE = [*SCALAR, "diagonal", "orthogonal", "linear"]
EVERY = [*AFFINE, "sinh-arcsinh", "leaky", "cubic", "softsign"]


@st.composite
def problems(draw, names=tuple(EVERY), orthogonal=False):
    T = draw(st.integers(2, 6))
    N, M = draw(st.integers(T if orthogonal else 2, 9)), draw(st.integers(1, 5))
    seed = draw(st.integers(0, 2**32 - 1))
    tasks = random_tasks(T, N, M, seed=seed)
    if orthogonal:
        # Exactly orthogonal: one entry per data point, each of its own length.
        x = np.zeros((T, N))
        x[np.arange(T), np.arange(T)] = draw(st.floats(0.5, 2)) * np.linspace(1, 1.5, T)
        tasks = Tasks(x, tasks.y, tasks.P, tasks.w)
    name = draw(st.sampled_from(names))
    if name == "softsign":
        tasks = Tasks(tasks.x, tasks.y, 0.05 * tasks.P, 0.1 * tasks.w)  # well inside its codomain
    E = draw(st.integers(1, 3))
    order = np.array([draw(st.permutations(range(T))) for _ in range(E)])
    a = draw(st.floats(0.01, 0.3))
    options = {
        # Correlated data have a lower limit than orthogonal ones; this keeps problems tame.
        "rate": a / np.trace(tasks.gram),
        "epochs": E,
        "inner_steps": draw(st.integers(1, 4)),
        "fast_rate": draw(st.floats(0.05, 1)),
        "order": order,
        "unstable": "allow",  # slopes of different signs can diverge at any rate
    }
    return tasks, name, options


def agree(comp, ref, tolerance=1e-9):
    assert np.abs(comp - ref).max() <= tolerance * np.abs(ref).max()


@given(problems())
def test_engines_agree(problem):
    tasks, name, options = problem
    ref = simulate(tasks, name, engine="direct", **options).losses.values
    agree(simulate(tasks, name, engine="projected", **options).losses.values, ref)
    if name in SCALAR:
        agree(simulate(tasks, name, engine="moment", **options).losses.values, ref)


@given(problems(names=tuple(AFFINE), orthogonal=True))
def test_moments_carry_every_affine_map_on_orthogonal_data(problem):
    tasks, name, options = problem
    ref = simulate(tasks, name, engine="direct", **options)
    comp = simulate(tasks, name, engine="moment", record="S", **options)
    agree(comp.losses.values, ref.losses.values)
    states = simulate(tasks, name, engine="projected", record="S", **options).trajectories["S"]
    agree(comp.trajectories["S"], states)


@given(problems(names=tuple(AFFINE), orthogonal=True))
def test_q_does_not_know_the_affine_map_on_orthogonal_data(problem):
    tasks, name, options = problem
    run = simulate(tasks, name, engine="projected", record=("q", "w"), **options)
    # The identity, started from the same q: P solves P x_i = q_i.
    start = run.trajectories["q"][0]
    P = (start / np.diag(tasks.gram)[:, None]).T @ tasks.x
    same = simulate(Tasks(tasks.x, tasks.y, P, tasks.w), "identity", engine="projected",
                    record=("q", "w"), **options)  # fmt: skip
    for which in ("q", "w"):
        agree(run.trajectories[which], same.trajectories[which])


# Noise can push projections out of the softsign's codomain.
@given(problems(tuple(n for n in EVERY if n != "softsign")), st.sampled_from(["mask", "replace", "gaussian"]))
def test_engines_agree_with_noise(problem, kind):
    tasks, name, options = problem
    noise = episode_noise(tasks, options["order"], kind, 0.3, seed=1)
    assume((np.square(tasks.x[options["order"]] + noise).sum(2) > 0).all())
    ref = oracles.toy_losses(
        tasks, maps.get_map(name), options["rate"], options["inner_steps"], options["fast_rate"],
        options["order"], noise,
    )  # fmt: skip
    engines = ["direct", "projected"] + (["moment"] if name in SCALAR else [])
    for engine in engines:
        agree(simulate(tasks, name, engine=engine, noise=noise, **options).losses.values, ref)


@given(problems(), st.sampled_from(["direct", "projected"]))
def test_trajectories_are_the_state_that_losses_come_from(problem, engine):
    tasks, name, options = problem
    run = simulate(tasks, name, engine=engine, record=("q", "w", "Z", "S"), **options)
    q, w, Z, S = (run.trajectories[k] for k in ("q", "w", "Z", "S"))
    task_map = maps.get_map(name)
    theta = task_map.theta(tasks.y)
    for t in (0, len(Z) // 2, len(Z) - 1):
        f = task_map.forward.rows(w[t], theta)
        agree(0.5 * np.square(Z[t] - f).sum(1), run.losses.values[t] + 0, 1e-9)
        agree(task_map.inverse.rows(Z[t], theta), q[t])
        u = np.vstack([q[t], w[t]])
        agree(S[t], u @ u.T)
    assert np.linalg.eigvalsh(S).min() >= -1e-10 * np.abs(S).max()
    P = simulate(tasks, name, engine="direct", record="P", **options).trajectories["P"]
    agree(tasks.x @ P[-1].T, Z[-1])


@given(problems(names=tuple(SCALAR)))
def test_moments_stay_positive_semidefinite(problem):
    tasks, name, options = problem
    S = simulate(tasks, name, engine="moment", record="S", **options).trajectories["S"]
    assert np.linalg.eigvalsh(S).min() >= -1e-10 * np.abs(S).max()
    ref = simulate(tasks, name, engine="direct", record="S", **options).trajectories["S"]
    agree(S, ref)


@given(problems(), st.randoms(use_true_random=False))
def test_names_of_the_tasks_do_not_matter(problem, random):
    tasks, name, options = problem
    if name in ("per-task", "diagonal", "orthogonal", "linear"):
        return  # their draws follow the names
    names = list(range(len(tasks.x)))
    random.shuffle(names)
    there = np.argsort(names)
    renamed = Tasks(tasks.x[names], tasks.y[names], tasks.P, tasks.w)
    ref = simulate(tasks, name, **options).losses.values
    comp = simulate(renamed, name, **(options | {"order": there[options["order"]]})).losses.values
    agree(comp, ref[:, names])


@given(problems(names=tuple(SCALAR)), st.integers(0, 1000))
def test_rotations_of_either_space_do_not_matter(problem, seed):
    tasks, name, options = problem
    M, N = tasks.P.shape
    rng = np.random.default_rng(seed)
    Q, R = (np.linalg.qr(rng.normal(size=(n, n)))[0] for n in (N, M))
    turned = Tasks(tasks.x @ Q.T, tasks.y @ R.T, R @ tasks.P @ Q.T, R @ tasks.w)
    for engine in ("projected", "moment"):
        ref = simulate(tasks, name, engine=engine, **options).losses.values
        agree(simulate(turned, name, engine=engine, **options).losses.values, ref)


@given(problems(), st.sampled_from(["direct", "projected"]))
def test_full_fast_step_solves_the_task_just_trained(problem, engine):
    tasks, name, options = problem
    losses = simulate(tasks, name, engine=engine, **(options | {"fast_rate": 1.0})).losses
    for t, i in enumerate(losses.order.ravel()):
        assert losses.values[1 + t, i] <= 1e-20 * (1 + losses.values.max())


@given(st.integers(2, 7), st.integers(0, 5), st.integers(0, 10**6), st.booleans(), st.booleans())
def test_jump_is_step(T, epochs, seed, orthogonal, slopes):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(T, T + 1))
    gram = None if orthogonal else x @ x.T
    s = rng.uniform(0.5, 2, T) if slopes else None
    a, b = rng.uniform(0.05, 0.4, (2, T))
    u = rng.normal(size=(T + 1, 4))
    order = np.tile(rng.permutation(T), (max(epochs, 1), 1))
    trace = np.empty((1 + order.size, T + 1, T + 1))
    losses = moment_losses(u @ u.T, a[order], b[order], order, gram=gram, slopes=s, trace=trace)
    comp = moments_after(u @ u.T, a, b, epochs, gram=gram, order=order[0], slopes=s)
    agree(comp, trace[epochs * T])
    agree(losses_of(comp), losses[epochs * T], 1e-9 * max(1, np.abs(comp).max() / losses[epochs * T].max()))


@given(st.integers(2, 6), st.integers(1, 3), st.integers(0, 10**6), st.booleans())
def test_kernels_against_explicit_matrices(T, E, seed, orthogonal):
    rng = np.random.default_rng(seed)
    order = rng.integers(0, T, (E, T))
    slow, fast = rng.uniform(0, 0.5, (2, E, T))
    x = rng.normal(size=(T, T + 2))
    gram = np.eye(T) if orthogonal else x @ x.T
    variance = rng.uniform(0.1, 2, T)
    ref = oracles.share_moments(slow, fast, order, np.diag([*variance, 0.7]), gram)
    if orthogonal:
        comp = share_losses(slow, fast, order, variance_q=variance, variance_w=0.7)
    else:
        comp = moment_losses(np.diag([*variance, 0.7]), slow, fast, order, gram=gram)
    np.testing.assert_allclose(comp, ref, rtol=1e-10, atol=1e-12 * np.abs(ref).max())


@given(st.floats(0.01, 0.9), st.floats(0.01, 1), st.integers(1, 8))
def test_inner_steps_collapse_to_shares(a, eta, K):
    q, w, r0 = 1.0, 0.0, 1.0
    for _ in range(K):
        q -= a * (q - w)
        w += eta * (q - w)
    A, B = shares(a, eta, K)
    assert q == pytest.approx(1 - A * r0, abs=1e-12)
    assert w == pytest.approx(B * r0, abs=1e-12)


@given(st.integers(3, 8), st.floats(0, 0.9), st.floats(0.05, 0.6), st.floats(0.05, 0.6))
def test_gauge_symmetry_of_uniform_similarity(T, rho, A, B):
    gram = (1 - rho) * np.eye(T) + rho
    order = np.tile(np.arange(T), (3, 1))
    start = np.eye(T + 1)
    similar = moment_losses(start, A, B, order, gram=gram)
    reduced = moment_losses(start, A * (1 - rho), B + A * rho, order)
    np.testing.assert_allclose(similar, reduced, rtol=1e-9, atol=1e-12)


def test_expected_losses_are_the_mean_of_simulations():
    tasks, runs = random_tasks(4, 6, 5, seed=1), 1500
    rng = np.random.default_rng(0)
    samples = []
    for _ in range(runs):
        one = Tasks(tasks.x, rng.normal(0, 0.7, (4, 5)), rng.normal(0, 0.4, (5, 6)), rng.normal(0, 0.5, 5))
        samples.append(simulate(one, "reflection", rate=0.05, epochs=2).losses.values)
    expected = expected_losses(
        tasks.gram, dimension=5, rate=0.05, epochs=2, variance_p=0.16, variance_y=0.49, variance_w=0.25
    ).values
    stack = np.array(samples)
    error = stack.std(0, ddof=1) / np.sqrt(runs)
    z = np.abs(stack.mean(0) - expected) / np.maximum(error, 1e-12)
    assert z[error > 1e-9].max() < 4  # the worst of 36 correlated entries
    assert expected.max() > 1


def test_rate_past_the_limit_is_announced():
    tasks = Tasks(np.eye(5), np.zeros((5, 3)), np.ones((3, 5)), np.zeros(3))
    limit = 5 / 4
    assert "stable" in simulate(tasks, "identity", rate=limit * 0.99, epochs=1).status
    with pytest.warns(StabilityWarning, match="past the stability limit"):
        simulate(tasks, "identity", rate=limit * 1.01, epochs=1, unstable="warn")
    with pytest.raises(InputError, match=r"past the stability limit of 1\.25"):
        simulate(tasks, "identity", rate=limit * 1.01, epochs=1)
    assert "past" in simulate(tasks, "identity", rate=limit * 1.01, epochs=1, unstable="allow").status


@given(st.integers(3, 6), st.integers(0, 10**6))
def test_gauge_symmetry_is_exact(T, seed):
    """One vector added to every q and to w changes no loss."""
    rng = np.random.default_rng(seed)
    u, shift = rng.normal(size=(T + 1, 5)), 3 * rng.normal(size=5)
    x = rng.normal(size=(T, T))
    order = rng.integers(0, T, (3, T))
    a, b = rng.uniform(0.05, 0.3, (2, 3, T))
    for gram in (None, x @ x.T):
        one, two = (moment_losses(v @ v.T, a, b, order, gram=gram) for v in (u, u + shift))
        agree(two, one, 1e-9 * (1 + np.square(shift).sum()))


@pytest.mark.parametrize(("M", "uniform"), [(3, False), (5, True), (40, False)])
def test_drawn_moments_have_the_distribution_of_simulated_ones(M, uniform):
    rng = np.random.default_rng(0)
    T, N, s, draws = 4, 6, np.array([1.0, -2.0, 0.5, 1.0]), 4000
    x = rng.uniform(-1, 1, (T, N))
    variances = {"variance_p": 0.3, "variance_y": 0.2, "variance_w": 1 / 3}
    comp = np.array([
        sample_moments(x @ x.T, M, slopes=s, seed=rng, uniform_w=uniform, **variances) for _ in range(draws)
    ])  # fmt: skip
    ref = np.empty_like(comp)
    for n in range(draws):
        P, y = rng.normal(0, 0.3**0.5, (M, N)), rng.normal(0, 0.2**0.5, (T, M))
        w = rng.uniform(-1, 1, M) if uniform else rng.normal(0, 3**-0.5, M)
        u = np.vstack([(x @ P.T - y) / s[:, None], w])
        ref[n] = u @ u.T
    for power in (1, 2):  # means and second moments, entry by entry
        one, two = comp**power, ref**power
        error = np.sqrt((one.var(0) + two.var(0)) / draws)
        assert (np.abs(one.mean(0) - two.mean(0)) / error).max() < 4.5  # the worst of 25 entries
    product = comp[:, 0, 1] * comp[:, 2, 4], ref[:, 0, 1] * ref[:, 2, 4]
    error = np.sqrt(sum(p.var() for p in product) / draws)
    assert abs(product[0].mean() - product[1].mean()) < 4 * error


def test_drawing_from_singular_data_and_the_papers_gram():
    assert np.linalg.matrix_rank(random_gram(5, 3, seed=1)) == 3
    S = sample_moments(random_gram(5, 3, seed=1), 50, variance_p=1.0, variance_w=1.0)
    assert np.linalg.matrix_rank(S, tol=1e-6) == 4
    for gram, change in ((-np.eye(3), {}), (np.eye(3), {"variance_w": -1.0}), (np.ones(3), {})):
        with pytest.raises(InputError):
            sample_moments(gram, 5, **({"variance_p": 1.0, "variance_w": 1.0} | change))


def test_expected_losses_with_slopes():
    slopes, gram = np.array([2.0, -1.0, 0.5]), random_gram(3, 5, seed=3)
    options = {"rate": 0.05, "epochs": 2, "variance_p": 0.3, "variance_y": 0.1, "variance_w": 0.2}
    comp = expected_losses(gram, dimension=4, slopes=slopes, **options).values
    S = np.zeros((4, 4))
    S[:3, :3] = 4 * (0.3 * gram + 0.1 * np.eye(3)) / np.outer(slopes, slopes)
    S[3, 3] = 4 * 0.2
    for row in range(len(comp)):
        np.testing.assert_allclose(comp[row], slopes**2 * losses_of(S), rtol=1e-10, atol=1e-12)
        if row < len(comp) - 1:
            i = row % 3
            phi = epoch_operator(gram, *shares(0.05 * np.diag(gram)), [i], slopes=slopes)
            S = phi @ S @ phi.T


def test_the_cheapest_engine_is_chosen():
    wide, narrow = random_tasks(3, 5, 40), random_tasks(30, 5, 2)
    assert simulate(wide, "reflection", rate=1e-3, epochs=1).engine == "moment"
    assert simulate(narrow, "reflection", rate=1e-3, epochs=1).engine == "projected"
    assert simulate(wide, "linear", rate=1e-3, epochs=1).engine == "projected"
    assert simulate(wide, "identity", rate=1e-3, epochs=1, record="q").engine == "projected"
    assert simulate(wide, "identity", rate=1e-3, epochs=1, record="P").engine == "direct"
    assert "condition number of the map 10" in simulate(wide, "linear", rate=1e-3, epochs=1).status


@settings(max_examples=20)
@given(st.integers(3, 8), st.integers(0, 10**6), st.floats(0.5, 1))
def test_the_limit_named_is_where_runs_begin_to_grow(T, seed, eta):
    tasks = random_tasks(T, 20, 2, seed=seed)
    with pytest.raises(InputError) as error:
        simulate(tasks, "identity", rate=3.0, epochs=1, fast_rate=eta)
    limit = float(str(error.value).split("limit of ")[1].split()[0])
    assert "stable" in simulate(tasks, "identity", rate=0.99 * limit, epochs=1, fast_rate=eta).status
    with pytest.raises(InputError):
        simulate(tasks, "identity", rate=1.01 * limit, epochs=1, fast_rate=eta)


def test_the_papers_rate_for_fig_10a_diverges_and_a_tenth_of_it_does_not():
    tasks = random_tasks(25, 1000, 1000)
    with pytest.raises(InputError, match="past the stability limit"):
        simulate(tasks, "identity", rate=0.01, epochs=7)
    assert simulate(tasks, "identity", rate=0.01, epochs=7, unstable="allow").losses.values.max() > 1e100
    assert simulate(tasks, "identity", rate=0.001, epochs=7).losses.values[26:].max() < 30


@pytest.mark.parametrize(
    "change",
    [{"record": "x"}, {"unstable": "no"}, {"noise": np.zeros((1, 3, 5))},
     {"noise": np.full((1, 3, 4), np.nan)}, {"engine": "projected", "record": "P"},
     {"engine": "moment", "record": "q"}, {"rate": 0}, {"rate": np.nan}, {"epochs": 0}, {"engine": "momnt"},
     {"fast_rate": 0}, {"inner_steps": 0},
     {"order": [[0, 1, 9]]}],
)  # fmt: skip
def test_bad_input(change):
    with pytest.raises(InputError) as error:
        simulate(random_tasks(3, 4), "identity", **({"rate": 0.01, "epochs": 1} | change))
    assert "Fix:" in str(error.value)
    with pytest.raises(InputError, match="identity"):
        simulate(random_tasks(3, 4), "identty", rate=0.01, epochs=1)
    for name in ("linear", "leaky"):
        with pytest.raises(InputError, match="projected"):
            simulate(random_tasks(3, 4), name, rate=0.01, epochs=1, engine="moment")
    with pytest.raises(InputError, match="toymodel.Tasks"):
        simulate(np.eye(3), "identity", rate=0.01, epochs=1)


def test_trajectories_that_do_not_fit_are_refused(monkeypatch):
    monkeypatch.setattr("toymodel.base.memory.available_memory", lambda: 10_000)
    with pytest.raises(InputError, match="MiB"):
        simulate(random_tasks(3, 40), "identity", rate=0.01, epochs=5, record="P")


def test_losses_that_overflow_are_said_in_one_line():
    tasks = random_tasks(5, 50, 5)
    for name in ("identity", "cubic"):
        for engine in ("direct", "projected", *(("moment",) if name == "identity" else ())):
            with pytest.raises(InputError, match="not finite after episode"):
                simulate(tasks, name, rate=10.0, epochs=200, engine=engine, unstable="allow")
    own = maps.from_functions(maps.cubic().forward.source, maps.cubic().inverse.source,
                              parameters=maps.cubic().parameters)  # fmt: skip
    with pytest.raises(InputError, match="fails during|not finite"):
        simulate(tasks, own, rate=10.0, epochs=200)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros((1, 3)), "at least 2 tasks"),
        (np.zeros((2, 3)), "length 0"),
        (np.full((2, 3), np.inf), "NaN or infinite"),
        (np.ones((2, 4)), "P of shape"),
        (np.ones((2, 3), complex), "dtype"),
        (np.array([["a", "b", "c"]] * 2), "dtype"),
    ],
)
def test_bad_tasks(x, words):
    with pytest.raises(InputError, match=words):
        Tasks(x, np.zeros((len(x), 2)), np.ones((2, 3)), np.zeros(2))


@pytest.mark.parametrize(
    "change",
    [{"moments": np.eye(3)[:2]}, {"moments": np.full((3, 3), np.nan)}, {"moments": np.triu(np.ones((3, 3)))},
     {"gram": np.eye(3)}, {"gram": -np.eye(2)}, {"gram": np.array([[1, np.inf], [0, 1]])}, {"slopes": [1.0]},
     {"order": [[0, 2]]}, {"order": [[0.0, 1.0]]}, {"order": [0, 1]}, {"slow": [0.1, 0.2]}],
)  # fmt: skip
def test_bad_moments(change):
    good = {"moments": np.eye(3), "slow": 0.1, "fast": 0.9, "order": [[0, 1]], "gram": np.eye(2)}
    assert moment_losses(**good).shape == (3, 2)
    with pytest.raises(InputError):
        moment_losses(**(good | change))
    if "order" in change:
        with pytest.raises(InputError):
            share_losses(0.1, 0.9, change["order"])


def test_other_bad_numbers():
    for bad in (lambda: moments_after(np.eye(3), 0.1, 0.9, -1),
                lambda: moments_after(np.ones(3), 0.1, 0.9, 1),
                lambda: expected_losses(np.ones(3), dimension=3, rate=0.1, epochs=1),
                lambda: expected_losses(np.eye(3), dimension=3, rate=0.1, epochs=1, order=[[0, 1, 5]]),
                lambda: episode_noise(random_tasks(3, 4), cyclic_order(3, 1), "blur"),
                lambda: episode_noise(random_tasks(3, 4), cyclic_order(3, 1), "mask", 1.5),
                lambda: random_tasks(1), lambda: random_tasks(3, 0),
                lambda: random_tasks(3, target="x")):  # fmt: skip
        with pytest.raises(InputError):
            bad()
