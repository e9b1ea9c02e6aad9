"""Fits against the clock, and exact derivatives against differences."""

import time

import numpy as np
import pytest
from scipy.optimize import least_squares

from bridge import Mechanism, fit
from toymodel import LossMatrix, cyclic_order

ONE = Mechanism(channels=1, nearness=False, pairs=False)


def losses(form, tasks, epochs, seed=0):
    rng = np.random.default_rng(seed)
    pairs = rng.normal(0, 0.04, tasks * (tasks - 1) // 2) if form.pairs else None
    theta = np.array([t.centre + 0.3 * t.width * rng.normal() for t in form.terms])
    order = cyclic_order(tasks, epochs)
    shapes = form.losses(theta, order, pairs)
    return LossMatrix(rng.uniform(6, 8, tasks) * shapes + rng.normal(0, 0.15, shapes.shape), order)


@pytest.mark.parametrize(
    ("form", "tasks", "limit"),
    [
        (ONE, 25, 3.0),
        (Mechanism(channels=1, pairs=True), 25, 3.0),
        (Mechanism(channels=2, pairs=False), 25, 10.0),
        (Mechanism(channels=2), 25, 10.0),
        (Mechanism(channels=2, pairs=False), 200, 60.0),
    ],
    ids=["one-channel", "one-channel-pairs", "two-channels", "two-channels-pairs", "two-channels-200"],
)
def test_fit_with_intervals(benchmark, form, tasks, limit):
    data = losses(form, tasks, 5)
    fit(losses(form, 8, 3), form, starts=1)  # compile
    # What other programs take is not the fit's: the limit is on processor time (OMP_NUM_THREADS=1 where the
    # machine is shared: BLAS threads that wait for a core burn it).
    began = time.process_time()
    result = benchmark.pedantic(fit, args=(data, form), rounds=1, iterations=1)
    spent = time.process_time() - began
    benchmark.extra_info |= {"processor_seconds": spent, "r2": result.r2}
    assert spent < limit


def test_exact_derivatives_against_differences(benchmark):
    data = losses(ONE, 25, 5)
    begin = ONE.starts(1)[0]

    def by_differences():
        def residual(theta):
            shapes = ONE.losses(theta, data.order)
            k = (shapes * data.values).sum(0) / (shapes**2).sum(0)
            return (data.values - k * shapes).ravel()

        return least_squares(residual, begin, bounds=ONE.bounds, jac="3-point", xtol=1e-7, ftol=1e-7)

    fit(data, ONE, starts=1, intervals_by="none")
    began = time.perf_counter()
    by_differences()
    plain = time.perf_counter() - began
    benchmark(lambda: fit(data, ONE, starts=1, intervals_by="none"))
    benchmark.extra_info["times_faster"] = plain / benchmark.stats["median"]
