"""Speed of the toy model, as ratios to a plain NumPy version of eqs. 3-5 timed in the same run.

Fig. 10a's experiment throughout: T = 25 tasks, N = M = 1000, 7 epochs. Least times on both sides: other
programs on the machine can only add to a time.
"""

import subprocess
import sys

import numpy as np
import pytest

from benchmarks.timing import least
from toymodel import (
    cyclic_order,
    expected_losses,
    get_map,
    moment_losses,
    moments_after,
    random_gram,
    random_tasks,
    sample_moments,
    share_losses,
    shares,
    simulate,
    sweep,
)

RATE, EPOCHS = 1e-3, 7
QUICK = {"leaky", "cubic"}


def plain(tasks, rate, epochs, f, inverse):
    """Eqs. 3-5 in NumPy as one would write them first, with the losses of all tasks after every episode."""
    P, w, x = tasks.P.copy(), tasks.w.copy(), tasks.x
    losses = [0.5 * np.square(x @ P.T - f(w, tasks.y)).sum(1)]
    for _ in range(epochs):
        for i in range(len(x)):
            P -= rate * np.outer(P @ x[i] - f(w, tasks.y[i]), x[i])
            w = inverse(P @ x[i], tasks.y[i])
            losses.append(0.5 * np.square(x @ P.T - f(w, tasks.y)).sum(1))
    return np.array(losses)


@pytest.fixture(scope="module")
def tasks():
    return random_tasks(25, 1000, 1000)


@pytest.fixture(scope="module")
def start(tasks):
    """Moments, shares by episode, schedule."""
    u = np.vstack([tasks.x @ tasks.P.T, tasks.w])
    order = cyclic_order(25, EPOCHS)
    a, b = shares(RATE * np.diag(tasks.gram))
    return u @ u.T, a[order], b[order], order


@pytest.fixture(scope="module")
def reference(tasks):
    """Seconds of the plain version."""
    return least(lambda: plain(tasks, RATE, EPOCHS, lambda w, y: w + 0 * y, lambda z, y: z), 3)


def compare(benchmark, reference, target):
    ratio = reference / benchmark.stats.stats.min
    benchmark.extra_info["times faster than plain NumPy"] = round(ratio)
    seconds = benchmark.stats.stats.min
    print(f"\n{benchmark.name}: {seconds * 1e6:.2f} us, {ratio:,.0f} x plain ({reference:.3f} s)")
    assert ratio >= target


def test_moment_from_given_moments(benchmark, tasks, start, reference):
    S, a, b, order = start
    benchmark(moment_losses, S, a, b, order, gram=tasks.gram)
    compare(benchmark, reference, 10_000)


def test_orthogonal_data(benchmark, start, reference):
    benchmark(moment_losses, *start)
    compare(benchmark, reference, 40_000)


def test_uniform_similarity(benchmark, start, reference):
    benchmark(moment_losses, *start, gram=0.8 * np.eye(25) + 0.2)
    compare(benchmark, reference, 40_000)


def test_share_losses(benchmark, reference):
    benchmark(share_losses, 0.3, 0.7, cyclic_order(25, EPOCHS), variance_w=0.3)
    compare(benchmark, reference, 40_000)


def test_drawn_in_distribution(benchmark, tasks, start, reference):
    _, a, b, order = start
    rng, gram = np.random.default_rng(0), tasks.gram

    def experiment():
        S = sample_moments(gram, 1000, variance_p=1e-6, variance_w=1 / 3, seed=rng)
        return moment_losses(S, a, b, order, gram=gram)

    benchmark(experiment)
    compare(benchmark, reference, 2_000)


def test_drawn_with_its_data(benchmark, reference):
    rng, order = np.random.default_rng(0), cyclic_order(25, EPOCHS)

    def experiment():
        gram = random_gram(25, 1000, seed=rng)
        a, b = shares(RATE * np.diag(gram))
        S = sample_moments(gram, 1000, variance_p=1e-6, variance_w=1 / 3, seed=rng)
        return moment_losses(S, a[order], b[order], order, gram=gram)

    benchmark(experiment)
    compare(benchmark, reference, 1_000)


@pytest.mark.parametrize("name", ["identity", "reflection", "affine"])
def test_projected_affine(benchmark, tasks, reference, name):
    benchmark(simulate, tasks, name, rate=2e-4, epochs=EPOCHS, engine="projected")
    compare(benchmark, reference, 100)


@pytest.mark.parametrize("shared", [True, False], ids=["one phi", "any f_i"])
@pytest.mark.parametrize("name", ["sinh-arcsinh", "softsign", "leaky", "cubic"])
def test_projected_nonlinear_against_forward_evaluations(benchmark, tasks, name, shared):
    """M*T evaluations of f per episode is what losses need unless tasks share all of f but their targets."""
    import numba

    from toymodel.kernels.projected import aligned, projected_kernel
    from toymodel.kernels.signatures import MAP, MATRIX, VECTOR

    @numba.njit(numba.void(MAP, MATRIX, VECTOR, VECTOR, numba.int64))
    def evaluate(forward, theta, w, out, rows):
        for _ in range(rows):
            for j in range(theta.shape[0]):
                forward(w, theta[j], out)

    task_map = get_map(name)
    theta, Z0, gram = task_map.theta(tasks.y), tasks.x @ tasks.P.T, tasks.gram
    forward, inverse, buffer = task_map.forward.compiled, task_map.inverse.compiled, aligned(1000)
    w = aligned(1000)  # as the kernel keeps it: evaluations alone are slower elsewhere
    w[:] = tasks.w
    out, kernel = np.empty((176, 25)), projected_kernel()
    order, none3, none2 = cyclic_order(25, EPOCHS).ravel(), np.empty((0, 25, 1000)), np.empty((0, 1000))
    rest = (2e-4, 1.0, 1, order, out, none3, none2)

    def episodes():
        row, y = task_map.common(theta, 1000) if shared else (theta, 0.0)
        kernel(forward, inverse, row, gram, Z0 - y, w, *rest)

    alone = least(lambda: evaluate(forward, theta, w, buffer, 176), 100 if name in QUICK else 10)
    benchmark(episodes)
    ratio = benchmark.stats.stats.min / alone
    benchmark.extra_info["times the cost of M*T forward evaluations"] = round(ratio, 2)
    milliseconds = benchmark.stats.stats.min * 1e3
    print(f"\n{name} ({'one phi' if shared else 'any f_i'}): {milliseconds:.2f} ms, {ratio:.2f} x")
    # An evaluation of these two takes 0.12 ns an entry, less than what a loss needs beside it.
    assert ratio < (4 if name in QUICK and not shared else 2)


def test_cost_grows_as_the_square_of_tasks():
    """Seconds per episode for a general Gram matrix, T = 10 to 1000."""
    sizes, seconds = np.array([10, 30, 100, 300, 1000]), []
    for T in sizes:
        gram = random_gram(int(T), 2 * int(T))
        options = {"dimension": 10, "rate": 0.1 / np.trace(gram), "epochs": 1, "variance_p": 1.0}
        seconds.append(least(lambda g=gram, o=options: expected_losses(g, **o), 2 if T > 500 else 10) / T)
    slope = np.polyfit(np.log(sizes[2:]), np.log(seconds[2:]), 1)[0]
    print("\nus per episode:", dict(zip(sizes.tolist(), np.round(1e6 * np.array(seconds), 2), strict=True)))
    print(f"order of growth from T = 100: {slope:.2f}")
    assert slope < 2.4


def test_cost_is_flat_in_dimensions():
    gram = random_gram(25, 100)
    few, many = (
        least(lambda M=M: expected_losses(gram, dimension=M, rate=1e-3, epochs=7, variance_p=1.0), 200)
        for M in (10, 10**6)
    )
    print(f"\nM = 10: {few * 1e6:.1f} us; M = 10^6: {many * 1e6:.1f} us")
    assert many < 1.5 * few


def test_jumping_to_an_epoch(benchmark, tasks, start):
    a, b = shares(RATE * np.diag(tasks.gram))
    benchmark(moments_after, start[0], a, b, 10_000, gram=tasks.gram)


@pytest.mark.parametrize(("data", "most"), [("uniform", 15), ("any Gram matrix", 40)])
def test_a_million_experiments(benchmark, data, most):
    rates, w = np.linspace(1e-4, 3e-3, 1000), np.linspace(0, 1, 1000)
    gram = None if data == "uniform" else random_gram(25, 1000)
    sweep({"rate": rates[:2]}, gram=gram)  # compiled
    benchmark.pedantic(sweep, ({"rate": rates, "variance_w": w},), {"gram": gram}, rounds=1)
    print(f"\n10^6 experiments, {data}: {benchmark.stats.stats.min:.1f} s")
    assert benchmark.stats.stats.min < most


def test_cold_start():
    code = (
        "import toymodel as t; "
        "t.simulate(t.random_tasks(25, 100), 'leaky', rate=1e-3, epochs=7); "
        "t.simulate(t.random_tasks(25, 100), 'reflection', rate=1e-3, epochs=7)"
    )

    def process():
        subprocess.run([sys.executable, "-c", code], check=True)

    def compiler():
        subprocess.run([sys.executable, "-c", "import numba"], check=True)

    process()  # fills the cache
    # In turn, so that what else the machine does falls on both: most of a start is the compiler's own import.
    both = [(least(process, 1), least(compiler, 1)) for _ in range(7)]
    seconds, import_alone = (min(column) for column in zip(*both, strict=True))
    ratio = seconds / import_alone
    print(f"\na second process, from launch to end of two runs: {seconds:.2f} s, {ratio:.2f} x import numba")
    assert ratio < 3
