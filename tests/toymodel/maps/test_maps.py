import dataclasses

import numba
import numpy as np
import pytest

import toymodel.maps as maps
from toymodel import InputError, Tasks, random_tasks, simulate
from toymodel.maps import MAPS, check_task_map, compose, from_functions, get_map, lipschitz_constants

COMPOSED = {
    "reflected rotation": lambda: compose(maps.orthogonal(), maps.reflection()),
    "reflected softsign": lambda: compose(maps.softsign(), maps.reflection()),
    "scaled twice": lambda: compose(maps.affine(2.0), maps.per_task()),
    "saturating cubic": lambda: compose(maps.cubic(), maps.softsign()),
}
EVERY = {**MAPS, **COMPOSED}

FORMULAS = {
    "identity": lambda w, y: w,
    "reflection": lambda w, y: y - w,
    "affine": lambda w, y: 2 * w + y,
    "sinh-arcsinh": lambda w, y: np.sinh(0.8 * np.arcsinh(w) + 0.3) + y,
    "leaky": lambda w, y: np.where(w > 0, w, 0.5 * w) + y,
    "cubic": lambda w, y: w + 0.3 * w**3 + y,
    "softsign": lambda w, y: w / (1 + abs(w)),
}


@numba.njit
def shifted(w, theta, out):
    for m in range(w.shape[0]):
        out[m] = 3.0 * w[m] + theta[m]


@numba.njit
def unshifted(z, theta, out):
    for m in range(z.shape[0]):
        out[m] = (z[m] - theta[m]) / 3.0


@pytest.mark.parametrize("name", EVERY)
def test_contract(name):
    task_map = EVERY[name]()
    found = check_task_map(task_map, tasks=3, dimension=4, samples=60, seed=1)
    assert found.worst < 1
    theta = task_map.theta(np.random.default_rng(0).normal(size=(3, 4)))
    assert theta.flags.c_contiguous
    assert len(theta) == 3
    known = (theta,) if task_map.lipschitz is None else (theta, task_map.lipschitz(theta))
    if len(known) == 2:
        estimate = lipschitz_constants(from_functions(
            task_map.forward.source, task_map.inverse.source,
            domain=task_map.domain, codomain=task_map.codomain,
        ), theta, 4)  # fmt: skip
        assert not estimate[1]
        assert lipschitz_constants(task_map, theta, 4)[1]
        assert (estimate[0] <= known[1] * (1 + 1e-6)).all()


@pytest.mark.parametrize("name", EVERY)
def test_promised_structure_holds(name):
    task_map = EVERY[name]()
    rng = np.random.default_rng(2)
    theta = task_map.theta(rng.normal(size=(3, 4)))
    v = rng.normal(size=(3, 4))
    v[0] = 0
    A = task_map.forward.rows(v[1], theta) - task_map.forward.rows(v[0], theta)
    both = task_map.forward.rows(v[1] + v[2], theta) - task_map.forward.rows(v[2], theta)
    linear = np.allclose(A, both, atol=1e-9)
    assert linear == (task_map.structure != "nonlinear")
    if task_map.structure in ("scalar", "conformal"):
        size = np.abs(task_map.task_slopes(theta))
        np.testing.assert_allclose(np.linalg.norm(A, axis=1), size * np.linalg.norm(v[1]), rtol=1e-12)
    if task_map.structure == "scalar":
        np.testing.assert_allclose(A, task_map.task_slopes(theta)[:, None] * v[1], rtol=1e-12, atol=1e-12)
    if task_map.slope is not None:
        assert (task_map.task_slopes(theta) == task_map.slope).all()


@pytest.mark.parametrize("name", EVERY)
def test_one_phi_for_all_tasks_runs_as_each_with_its_own(name):
    task_map = EVERY[name]()
    x = random_tasks(4, 6, 5, seed=2)
    x = Tasks(x.x, 0.1 * x.y, 0.05 * x.P, 0.1 * x.w)
    common = task_map.common(task_map.theta(x.y), 5)
    assert (common is not None) == (name in FORMULAS)
    if common is not None:
        (phi,), y = common
        w = np.linspace(-2, 2, 5)
        rows = task_map.forward.rows(w, np.tile(phi, (4, 1)))
        assert np.allclose(rows + y, task_map.forward.rows(w, task_map.theta(x.y)), rtol=1e-14, atol=1e-14)
    apart = dataclasses.replace(task_map, phi_parameters=None)
    comp, ref = (
        simulate(x, m, rate=0.02, epochs=3, inner_steps=2, engine="projected", record=("Z", "w", "q"))
        for m in (task_map, apart)
    )
    assert np.allclose(comp.losses.values, ref.losses.values, rtol=1e-10, atol=1e-13)
    for part in ("Z", "w", "q"):
        assert np.allclose(comp.trajectories[part], ref.trajectories[part], rtol=1e-10, atol=1e-12)


def test_a_false_promise_of_one_phi_is_caught():
    broken = dataclasses.replace(maps.diagonal(np.full((3, 5), 2.0)), phi_parameters=0)
    with pytest.raises(InputError, match="10 numbers after phi's 0; expected the 5 targets, or none"):
        check_task_map(broken, targets=np.random.default_rng(0).normal(size=(3, 5)))
    own = from_functions(shifted, unshifted, slope=3.0, phi_parameters=0)
    assert check_task_map(own).worst < 1
    with pytest.raises(InputError, match=r"but phi \+ y is .*phi_parameters=None"):
        check_task_map(from_functions(reversed_by_target, undone_by_target, phi_parameters=0))


@numba.njit
def reversed_by_target(w, theta, out):
    for m in range(w.shape[0]):
        out[m] = w[m] * (2.0 + np.tanh(theta[m]))


@numba.njit
def undone_by_target(z, theta, out):
    for m in range(z.shape[0]):
        out[m] = z[m] / (2.0 + np.tanh(theta[m]))


@pytest.mark.parametrize("name", FORMULAS)
def test_formulas(name):
    rng = np.random.default_rng(3)
    w, y = 2 * rng.normal(size=(2, 3, 5))
    comp = get_map(name).forward.rows(w, get_map(name).theta(y))
    np.testing.assert_allclose(comp, FORMULAS[name](w, y), rtol=1e-14, atol=1e-14)


def test_matrices_and_their_condition():
    rng = np.random.default_rng(4)
    A, y, w = rng.normal(size=(3, 4, 4)), rng.normal(size=(3, 4)), rng.normal(size=4)
    linear = maps.linear(A)
    theta = linear.theta(y)
    np.testing.assert_allclose(linear.forward.rows(w, theta), A @ w + y, rtol=1e-13)
    np.testing.assert_allclose(linear.lipschitz(theta).prod(1), np.linalg.cond(A), rtol=1e-9)
    drawn = maps.linear(condition=50.0)
    np.testing.assert_allclose(drawn.lipschitz(drawn.theta(y)).prod(1), 50, rtol=1e-9)
    spins = maps.orthogonal()
    matrices = np.stack([spins.forward.rows(e, spins.theta(0 * y)) for e in np.eye(4)], axis=2)
    np.testing.assert_allclose(np.linalg.det(matrices), 1, rtol=1e-12)
    d = rng.uniform(0.5, 2, (3, 4))
    stretched = maps.diagonal(d)
    np.testing.assert_allclose(stretched.forward.rows(w, stretched.theta(y)), d * w + y, rtol=1e-14)


def test_a_users_own_pair_runs_everywhere():
    tasks = random_tasks(4, 6, 3, seed=5)
    own = from_functions(shifted, unshifted, slope=3.0, jitted=True)
    plain = from_functions(shifted.py_func, unshifted.py_func, slope=3.0)
    assert own.jitted
    assert not plain.jitted
    ref = simulate(tasks, maps.affine(3.0), rate=0.02, epochs=3, inner_steps=2, fast_rate=0.7).losses.values
    for task_map in (own, plain):
        check_task_map(task_map)
        for engine in ("direct", "projected", "moment"):
            run = simulate(tasks, task_map, rate=0.02, epochs=3, inner_steps=2, fast_rate=0.7, engine=engine)
            np.testing.assert_allclose(run.losses.values, ref, rtol=1e-9, atol=1e-12)
    both = compose(plain, maps.reflection())
    check_task_map(both, samples=20)


def put(function):
    """A function of the contract from a formula."""

    def body(v, theta, out):
        out[:] = function(v, theta)

    return body


def forgets_one(v, theta, out):
    out[:-1] = v[:-1]


def spoils(v, theta, out):
    out[:] = v
    v[0] = 0.0


def indexed(v, theta, out):
    for m in range(7):
        out[m] = v[m]


identical = put(lambda v, theta: v)


@pytest.mark.parametrize(
    ("forward", "inverse", "words"),
    [
        (put(lambda v, y: y - v), put(lambda v, y: y - v + 1e-6), "inverse is wrong"),
        (put(lambda v, y: v**2), put(lambda v, y: np.sqrt(np.abs(v))), "both"),
        (put(lambda v, y: np.round(v)), identical, "not invertible"),
        (put(lambda v, y: np.log(v)), put(lambda v, y: np.exp(v)), "is nan"),
        (forgets_one, identical, "unwritten"),
        (spoils, identical, "changes its input"),
        (indexed, identical, "IndexError"),
        (lambda v, theta, out: v, identical, "returns a value"),
        (lambda v: v, identical, "three arguments"),
        (numba.njit(indexed), identical, "IndexError"),
        (put(lambda v, y: v / (1 + abs(v))), identical, "inverse is wrong"),
    ],
)
def test_what_the_check_catches(forward, inverse, words):
    with np.errstate(all="ignore"), pytest.raises(InputError, match=words) as error:
        check_task_map(from_functions(forward, inverse))
    assert "\n" not in str(error.value)


def test_two_inputs_of_one_value_are_named():
    square = from_functions(put(lambda v, y: v**2), put(lambda v, y: np.sqrt(np.abs(v))))
    with pytest.raises(InputError, match=r"f\(-(.*)\) and f\(\1\) are both"):
        check_task_map(square)


def test_values_outside_the_stated_intervals_are_caught():
    doubled = (put(lambda v, y: 2 * v), put(lambda v, y: v / 2))
    with pytest.raises(InputError, match="outside"):
        check_task_map(from_functions(*doubled, domain=(-1, 1), codomain=(-1, 1)))
    assert check_task_map(from_functions(*doubled, domain=(-1, 1), codomain=(-2, 2))).worst < 1
    growth = (put(lambda v, y: np.exp(v)), put(lambda v, y: np.log(v)))
    with np.errstate(all="ignore"):
        assert check_task_map(from_functions(*growth, codomain=(0, np.inf))).worst < 1
    values, known = lipschitz_constants(from_functions(*doubled, domain=(-1, 1)), np.zeros((2, 3)), 3)
    assert not known
    np.testing.assert_allclose(values, [[2, 0.5]] * 2, rtol=1e-6)


@numba.njit("void(float32[:], float32[:], float32[:])")
def single(v, theta, out):
    out[:] = v


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: get_map("identty"), "identity"),
        (lambda: maps.affine(0.0), "other than 0"),
        (lambda: maps.per_task([1.0, np.nan]), "other than 0"),
        (lambda: maps.per_task([1.0, 2.0]).theta(np.zeros((3, 2))), "shape"),
        (lambda: maps.diagonal([1.0, 0.0]), "singular"),
        (lambda: maps.linear(np.ones((2, 2))), "singular"),
        (lambda: maps.linear(np.ones((2, 3))), "matrices of shape"),
        (lambda: maps.linear(condition=0.5), "condition=0.5"),
        (lambda: maps.linear(np.eye(3)).theta(np.zeros((2, 4))), "shape"),
        (lambda: maps.leaky(0.0), "positive"),
        (lambda: maps.cubic(-1.0), "positive"),
        (lambda: maps.softsign(np.inf), "positive"),
        (lambda: maps.sinh_arcsinh(tail=0.0), "tail"),
        (lambda: compose(maps.affine(), from_functions(identical, identical, domain=(0, 1))), "domain"),
        (lambda: from_functions(identical, identical, jitted=True), "Python function"),
        (lambda: from_functions(3, identical), "no function"),
        (lambda: from_functions(identical, identical, slope=0.0), "slope"),
        (lambda: from_functions(identical, identical, structure="conformal"), "slope"),
        (lambda: from_functions(single, single, jitted=True), "compile"),
        (lambda: maps.leaky().task_slopes(np.zeros((2, 1))), "no slopes"),
        (lambda: from_functions(identical, identical, parameters=lambda y: y[:1]).theta(np.ones((2, 3))),
         "row"),
        (lambda: check_task_map("identity", targets=np.zeros(3)), "targets of shape"),
        (lambda: maps.affine().forward(np.zeros(2, np.float32), np.zeros(3), np.zeros(2)), "does not take"),
    ],
)  # fmt: skip
def test_bad_input(make, words):
    with pytest.raises(InputError, match=words) as error:
        make()
    assert "\n" not in str(error.value)


def test_weights_outside_the_map():
    tasks = random_tasks(3, 4, 2, seed=0)
    far = Tasks(tasks.x, tasks.y, 100 * tasks.P, tasks.w)
    with pytest.raises(InputError, match="codomain"):
        simulate(far, "softsign", rate=0.1, epochs=1)
    inside = from_functions(shifted, unshifted, slope=3.0, domain=(-0.1, 0.1))
    with pytest.raises(InputError, match="outside the domain"):
        simulate(tasks, inside, rate=0.1, epochs=1)


@pytest.mark.parametrize(
    "function",
    [lambda w, theta: theta - w, lambda w: w, lambda w, theta, out, more: None, lambda *, w: w],
)
def test_functions_of_other_arguments_are_told_what_a_map_takes(function):
    with pytest.raises(InputError, match=r"three arguments \(v, theta, out\)") as error:
        maps.from_functions(function, function)
    assert "def forward(w, theta, out)" in str(error.value)
    assert "ascontiguousarray" not in str(error.value)


def test_a_task_map_of_bare_functions():
    with pytest.raises(InputError, match=r"forward a function.*from_functions\(forward, inverse, name='x'\)"):
        maps.TaskMap("x", lambda w, theta, out: None, lambda z, theta, out: None)
