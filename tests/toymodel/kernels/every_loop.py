"""Runs every compiled loop on small problems and prints the results; with --coverage, its unreached lines.

Started by test_compiled.py in processes of their own, with and without the compiler.
"""

import json
import sys

import numpy as np


def results():
    import toymodel.maps as maps
    from toymodel import moment_losses, random_tasks, reshuffled_losses, share_losses, simulate, sweep
    from toymodel.kernels import moment_kernel
    from toymodel.kernels.ordering import exhaustive_kernel, search_kernel, values_kernel

    tasks = random_tasks(3, 5, 4, seed=1)
    order = np.array([[0, 1, 2], [2, 0, 1], [1, 1, 0]])
    noise = 0.1 * np.random.default_rng(0).normal(size=(3, 3, 5))
    found = []
    for name in maps.MAPS:
        run = simulate(tasks, name, rate=0.05, epochs=3, inner_steps=2, fast_rate=0.7, engine="projected",
                       order=order, noise=noise, record=("q", "w", "Z"), unstable="allow")  # fmt: skip
        found += [run.losses.values.sum(), *(v.sum() for v in run.trajectories.values())]
    for name in ("reflection", "per-task"):
        run = simulate(tasks, name, rate=0.05, epochs=3, engine="moment", record="S", noise=noise,
                       unstable="allow")  # fmt: skip
        found += [run.losses.values.sum(), run.trajectories["S"].sum()]
    run = simulate(tasks, "per-task", rate=0.05, epochs=3, engine="moment", unstable="allow")
    found += [run.losses.values.sum()]
    u = np.random.default_rng(2).normal(size=(4, 3))
    found += [share_losses(0.3, 0.6, order, variance_w=0.5).sum()]
    for seed in (0, 1):
        C, D = np.random.default_rng(seed).uniform(0.1, 0.5, (4, 4)), np.eye(4) + 0.2
        orders = np.array([[0, 1, 2, 3], [3, 1, 0, 2]])
        out, best = np.empty(2), np.arange(4)
        values_kernel()(D, C, orders, 9, seed == 0, out)
        found += [*out, exhaustive_kernel()(D, C, 9, True, 1.0, best), *best]
        moves = np.array([[0, 0, 2], [1, 3, 1], [2, 0, 3], [2, 3, 1], [1, 0, 2]])
        found += [search_kernel()(D, C, 9, False, -1.0, moves, best, 50), *best]
    found += [reshuffled_losses(0.3, 0.6, 3, 2, variance_w=0.5).sum()]
    for gram in (None, tasks.gram, 0.7 * np.eye(3) + 0.3):
        found += [moment_losses(u @ u.T, 0.3, 0.6, order, gram=gram).sum()]
    found += [moment_losses(u @ u.T, 0.3, 0.6, order, tasks=2).sum()]
    # Codes for what cannot be used: moments, Gram matrix (its diagonal, its entries), order.
    empty, none = np.empty((0, 0, 0)), np.empty(0)
    share = np.full(9, 0.1)
    for S, gram, flat in (
        (u @ u.T * np.nan, np.eye(3), order.ravel()),
        (u @ u.T, -np.eye(3), order.ravel()),
        (u @ u.T, np.array([[1, np.inf, 0], [0, 1, 0], [0, 0, 1]]), order.ravel()),
        (u @ u.T, np.eye(3), order.ravel() + 1),
    ):
        out = np.empty((10, 3))
        found += [moment_kernel()(S, gram, none, share, share, flat, out, empty)]
    # Losses that rounding takes below 0, and losses that overflow.
    flat = np.ones((4, 4)) * 1e16
    found += [moment_losses(flat + np.diag([0, 0, 0, 2.0]), 0.3, 0.7, order).min()]
    try:
        simulate(tasks, "identity", rate=1e60, epochs=3, engine="projected", unstable="allow")
    except Exception as error:
        found += [float("not finite" in str(error))]
    records = ("recovery", "peaks", "final", "losses")
    for options in ({}, {"gram": tasks.gram}, {"kind": "sampled"}, {"order": order}):
        data = sweep({"rate": [0.01, 0.05], "dimension": 8, "tasks": 3, "seed": 2}, epochs=3, record=records,
                     **options)  # fmt: skip
        found += [float(np.nan_to_num(v.values).sum()) for v in data.data_vars.values()]
    solved = sweep({"A": 0.5, "B": 0.5, "tasks": 2}, epochs=60, record="recovery")  # nothing left to score
    found += [float(np.isnan(solved["recovery"].values).sum())]
    data = sweep({"rate": [0.01], "tasks": 3}, epochs=2, record="final")
    return [*map(float, found), float(data["final"].sum())]


def main():
    if "--coverage" not in sys.argv:
        print(json.dumps({"results": results()}))
        return
    import coverage

    watch = coverage.Coverage(
        data_file=None, include=["*/toymodel/kernels/*.py", "*/toymodel/maps/*_maps.py"]
    )
    watch.start()
    found = results()
    watch.stop()
    import toymodel.kernels.moments as moments
    import toymodel.kernels.projected as projected
    import toymodel.maps.affine_maps as affine_maps
    import toymodel.maps.elementwise_maps as elementwise_maps

    def unreached(module):
        return watch.analysis2(module.__file__)[3]

    # Of the maps' files the loops themselves; what only checks arguments has tests of its own.
    missing = {module.__name__: unreached(module) for module in (moments, projected)}
    for module in (affine_maps, elementwise_maps):
        lines = set(unreached(module))
        for function in vars(module).values():
            code = getattr(function, "__code__", None)
            if code is not None and code.co_varnames[:3] in (("v", "theta", "out"), ("w", "theta", "out"),
                                                             ("z", "theta", "out")):  # fmt: skip
                inside = {n for _, _, n in code.co_lines() if n is not None}
                missing[f"{module.__name__}.{function.__name__}"] = sorted(lines & inside)
    print(json.dumps({"results": found, "missing": missing}))


if __name__ == "__main__":
    main()
