"""How a block of a sweep's points is computed, for each kind of sweep."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toymodel.moments import shares
from toymodel.sampling import sample_moments
from toymodel.sweeps.plan import Plan
from toymodel.sweeps.stability import Stability

__all__ = ["block_function"]

Floats = NDArray[np.float64]
Block = Callable[[int, int, dict[str, Floats]], None]


def block_function(plan: Plan, threads: int | None) -> Block:
    """A function (start, stop, outputs) that fills the outputs of points start..stop."""
    if plan.kind == "simulated":
        return _simulations(plan, threads)
    from toymodel.kernels import sweep_kernel

    kernel = sweep_kernel()
    most = threads or _cores()
    stability = Stability(plan)

    def block(start: int, stop: int, outputs: dict[str, Floats]) -> None:
        values = plan.values(start, stop)
        tasks = np.array(values["tasks"], dtype=np.int64)
        inputs = _inputs(plan, values, tasks)
        stable = stability(values, inputs[0], inputs[1])
        outputs["stable"][:] = stable
        none2, none3 = np.empty((0, 0)), np.empty((0, 0, 0))

        def part(one: int, two: int) -> None:
            out = {name: a[one:two] for name, a in outputs.items()}
            kernel(
                tasks[one:two], *(v[one:two] for v in inputs), plan.gram, plan.order, plan.epochs,
                out.get("recovery", none2), out.get("peaks", none2), out.get("final", none2),
                out.get("losses", none3),
            )  # fmt: skip

        workers = max(1, min(most, stop - start))
        cuts = np.linspace(0, stop - start, workers + 1).astype(int)
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(part, cuts[:-1], cuts[1:]))
        # Losses that grow without bound have a largest one at their end: no recovery, and no score of 0.
        if "recovery" in outputs:
            outputs["recovery"][~stable] = np.nan

    return block


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def _inputs(plan: Plan, values: dict[str, list[Any]], tasks: NDArray[np.int64]) -> tuple[Floats, ...]:
    """Shares by task, ``(n, T)``; variances, ``(n, 4)``; and drawn moments, ``(n, T+1, T+1)`` or empty."""
    points, dense = len(tasks), len(plan.gram) > 0
    N, rate, eta, rho, vy, vw = (
        np.array(values[name], dtype=np.float64)
        for name in ("dimension", "rate", "fast_rate", "rho", "variance_y", "variance_w")
    )
    K = np.array(values["inner_steps"], dtype=np.int64)
    M = np.array(
        [n if m is None else m for m, n in zip(values["embedding"], N, strict=True)], dtype=np.float64
    )
    vp = np.array([n**-2 if v is None else v for v, n in zip(values["variance_p"], N, strict=True)])
    maps = [plan.maps[m if isinstance(m, str) else m.name] for m in values["map"]]
    slope = np.array([m.slope for m in maps], dtype=np.float64)
    uses = {m: not np.array_equal(m.theta(np.zeros((1, 1))), m.theta(np.ones((1, 1)))) for m in set(maps)}
    vy = vy * np.array([uses[m] for m in maps])
    square = N / 3  # E||x||^2 of entries U(-1, 1)
    squares = np.broadcast_to(np.diag(plan.gram), (points, plan.most)) if dense else square[:, None]
    if values["A"][0] is None:
        a, b = shares(rate[:, None] * squares, eta[:, None], K[:, None])
    else:
        a, b = (np.array(values[name], dtype=np.float64)[:, None] for name in "AB")
    if dense:
        variance = np.stack([M * vp / slope**2, M * vy / slope**2, M * vw, slope**2], axis=1)
    else:
        # The gauge: uniform similarity is a smaller slow share, and the common part of q goes to w.
        a, b = a * (1 - rho[:, None]), b + a * rho[:, None]
        own = M * (vp * square * (1 - rho) + vy) / slope**2
        variance = np.stack([0 * M, own, M * (vw + vp * square * rho / slope**2), slope**2], axis=1)
    slow, fast = (np.ascontiguousarray(np.broadcast_to(v, (points, plan.most))) for v in (a, b))
    moments = np.zeros((points if plan.kind == "sampled" else 0, plan.most + 1, plan.most + 1))
    for p in range(len(moments)):
        T = int(tasks[p])
        gram = plan.gram if dense else square[p] * ((1 - rho[p]) * np.eye(T) + rho[p])
        moments[p, : T + 1, : T + 1] = sample_moments(
            gram, int(M[p]), variance_p=float(vp[p]), variance_w=float(vw[p]), variance_y=float(vy[p]),
            slopes=float(slope[p]), seed=int(values["seed"][p]),
        )  # fmt: skip
    return slow, fast, variance, moments


def _simulations(plan: Plan, threads: int | None) -> Block:
    from toymodel.engines import Diverged
    from toymodel.kernels import measure
    from toymodel.simulate import simulate
    from toymodel.tasks import random_tasks

    def one(values: dict[str, Any], outputs: dict[str, Floats]) -> None:
        T, m = int(values["tasks"]), values["map"]
        embedding = None if values["embedding"] is None else int(values["embedding"])
        tasks = random_tasks(T, int(values["dimension"]), embedding, seed=int(values["seed"]))
        order = plan.order.reshape(plan.epochs, T) if plan.order.size else None
        try:
            done = simulate(
                tasks, plan.maps[m if isinstance(m, str) else m.name], rate=float(values["rate"]),
                inner_steps=int(values["inner_steps"]), fast_rate=float(values["fast_rate"]),
                epochs=plan.epochs, order=order, unstable="allow",
            )  # fmt: skip
        except Diverged:  # the other points are none the worse for it
            outputs["stable"][0] = 0.0
            return
        run = done.losses
        outputs["stable"][0] = np.nan if done.stable is None else done.stable
        none = np.empty(0)
        measure(run.values, run.order.reshape(-1), outputs.get("recovery", none), outputs.get("peaks", none))
        if done.stable is False and "recovery" in outputs:
            outputs["recovery"][:] = np.nan
        if "final" in outputs:
            outputs["final"][:T] = run.values[-1]
        if "losses" in outputs:
            outputs["losses"][: len(run.values), :T] = run.values

    def rows(outputs: dict[str, Floats], p: int) -> dict[str, Floats]:
        return {n: a[p] if a.ndim > 1 else a[p : p + 1] for n, a in outputs.items()}

    def block(start: int, stop: int, outputs: dict[str, Floats]) -> None:
        values = plan.values(start, stop)
        with ThreadPoolExecutor(threads or _cores()) as pool:
            jobs = [
                pool.submit(one, {n: v[p] for n, v in values.items()}, rows(outputs, p))
                for p in range(stop - start)
            ]
            for job in jobs:
                job.result()

    return block
