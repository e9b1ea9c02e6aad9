"""Engines agree with one another, whatever the map, the noise, the names and the rotation."""

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

import toymodel.maps as maps
from tests import oracles
from tests.toymodel.problems import AFFINE, EVERY, SCALAR, agree, problems
from toymodel import (
    Tasks,
    episode_noise,
    simulate,
)


@given(problems())
def test_engines_agree(problem):
    tasks, name, options = problem
    ref = simulate(tasks, name, engine="direct", **options).losses.values
    agree(simulate(tasks, name, engine="projected", **options).losses.values, ref)
    if name in SCALAR:
        agree(simulate(tasks, name, engine="moment", **options).losses.values, ref)


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


# The draws of the others follow the names.
UNNAMED = tuple(n for n in EVERY if n not in ("per-task", "diagonal", "orthogonal", "linear"))


@given(problems(names=UNNAMED), st.randoms(use_true_random=False))
def test_names_of_the_tasks_do_not_matter(problem, random):
    tasks, name, options = problem
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
