"""The three engines behind `simulate`: one problem, three ways that agree to rounding.

A *point* is what an episode can train: the T tasks themselves, or, with noise, one point for every episode.
Losses and trajectories are those of the first T points, the clean tasks.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toymodel.base.errors import InputError
from toymodel.maps import TaskMap
from toymodel.moments import moment_losses, shares

__all__ = ["Diverged", "Outcome", "Problem", "direct", "moment", "moment_form", "projected"]

Floats = NDArray[np.float64]
Outcome = tuple[Floats, dict[str, Floats]]


@dataclass(frozen=True, eq=False)
class Problem:
    """All that an engine needs, checked.

    Attributes:
        map: f.
        theta: a parameter row for each point, shape ``(D, p)``.
        x: points, shape ``(D, N)``, tasks first.
        gram: their products, shape ``(D, D)``.
        P: initial slow weights, shape ``(M, N)``.
        w: initial fast weights, shape ``(M,)``.
        rate: alpha.
        fast_rate: eta.
        inner_steps: K.
        tasks: T.
        order: point trained in each episode, shape ``(E, T)``.
        record: names of the trajectories to keep.
        smaller: a rate to try where this one diverges.
    """

    map: TaskMap
    theta: Floats
    x: Floats
    gram: Floats
    P: Floats
    w: Floats
    rate: float
    fast_rate: float
    inner_steps: int
    tasks: int
    order: NDArray[np.int64]
    record: tuple[str, ...]
    smaller: float

    @property
    def rows(self) -> int:
        """Rows of the loss matrix, 1 + E*T."""
        return 1 + self.order.size

    def shares(self) -> tuple[Floats, Floats]:
        """(A, B) of every episode, each of shape ``(E, T)``."""
        a, b = shares(self.rate * np.diag(self.gram), self.fast_rate, self.inner_steps)
        return a[self.order], b[self.order]


def projected(problem: Problem) -> Outcome:
    """P enters only through Z = P X: z_j <- z_j - alpha G_ij (z_i - f_i(w)); O(M T) per episode, any map.

    Where tasks differ by their targets alone, f_i(w) = phi(w) + y_i, everything is said in z_i - y_i and one
    evaluation of phi serves all losses.
    """
    size = len(problem.w)
    Z = np.ascontiguousarray(problem.x @ problem.P.T)
    out = np.empty((problem.rows, problem.tasks))
    keep_z = {"q", "Z", "S"} & set(problem.record)
    keep_w = {"w", "S"} & set(problem.record)
    Zs = np.empty((problem.rows if keep_z else 0, problem.tasks, size))
    ws = np.empty((problem.rows if keep_w else 0, size))
    task_map, theta, y = problem.map, problem.theta, None
    if task_map.jitted:
        from toymodel.kernels import projected_kernel

        common = task_map.common(theta, size)
        if common is not None:
            theta, y = common
            Z -= y
        failed = projected_kernel()(
            task_map.forward.compiled, task_map.inverse.compiled, theta, problem.gram, Z, problem.w,
            problem.rate, problem.fast_rate, problem.inner_steps, problem.order.reshape(-1), out, Zs, ws,
        )  # fmt: skip
    else:
        failed = _interpreted(problem, Z, problem.w.copy(), out, Zs, ws)
    if failed >= 0:
        raise _not_finite(task_map, failed, problem.smaller)
    if y is not None and len(Zs):
        Zs += y[: problem.tasks]
    return out, _trajectories(problem, Zs, ws)


def _interpreted(problem: Problem, Z: Floats, w: Floats, out: Floats, Zs: Floats, ws: Floats) -> int:
    """The compiled loop for maps that are plain Python functions, a vector at a time."""
    task_map, theta, gram, shown = problem.map, problem.theta, problem.gram, problem.tasks
    f = np.empty_like(w)
    for t in range(problem.rows):
        if t:
            i = int(problem.order.flat[t - 1])
            start = Z[i].copy()
            for _ in range(problem.inner_steps):
                task_map.forward(w, theta[i], f)
                Z[i] -= problem.rate * gram[i, i] * (Z[i] - f)
                task_map.inverse(Z[i], theta[i], f)
                w += problem.fast_rate * (f - w)
            ratio = gram[i] / gram[i, i]
            ratio[i] = 0.0
            Z += np.outer(ratio, Z[i] - start)
        out[t] = _losses(task_map, Z[:shown], w, theta[:shown])
        if not np.isfinite(out[t]).all():
            return t
        if len(Zs):
            Zs[t] = Z[:shown]
        if len(ws):
            ws[t] = w
    return -1


def _trajectories(problem: Problem, Zs: Floats, ws: Floats) -> dict[str, Floats]:
    names = problem.record
    q = np.empty(0)
    if "q" in names or "S" in names:
        theta = problem.theta[: problem.tasks]
        q = np.array([problem.map.inverse.rows(Z, theta) for Z in Zs])
    every = {"q": q, "Z": Zs, "w": ws}
    if "S" in names:
        u = np.concatenate([q, ws[:, None]], axis=1)
        every["S"] = u @ u.transpose(0, 2, 1)
    return {name: every[name] for name in names}


def direct(problem: Problem) -> Outcome:
    """Eqs. 3-5 as they are written; O(M N) per step and O(M N T) for the losses."""
    P, w, theta, x, shown = problem.P.copy(), problem.w.copy(), problem.theta, problem.x, problem.tasks
    f = np.empty_like(w)
    out = np.empty((problem.rows, shown))
    Zs, ws = np.empty((problem.rows, shown, len(w))), np.empty((problem.rows, len(w)))
    Ps = np.empty((problem.rows if "P" in problem.record else 0, *P.shape))
    for t in range(problem.rows):
        if t:
            i = int(problem.order.flat[t - 1])
            for _ in range(problem.inner_steps):
                problem.map.forward(w, theta[i], f)
                P -= problem.rate * np.outer(P @ x[i] - f, x[i])
                problem.map.inverse(P @ x[i], theta[i], f)
                w += problem.fast_rate * (f - w)
        Zs[t], ws[t] = x[:shown] @ P.T, w
        out[t] = _losses(problem.map, Zs[t], w, theta[:shown])
        if not np.isfinite(out[t]).all():
            raise _not_finite(problem.map, t, problem.smaller)
        if len(Ps):
            Ps[t] = P
    rest = tuple(name for name in problem.record if name != "P")
    kept = _trajectories(dataclasses.replace(problem, record=rest), Zs, ws)
    return out, {name: kept.get(name, Ps) for name in problem.record}


def moment_form(task_map: TaskMap, gram: Floats) -> str:
    """Why second moments carry this problem: ``scalar``, ``universal``, or empty where they do not.

    Scalar maps A_i = s_i I leave every embedding coordinate the same linear recursion, whatever the data.
    With orthogonal data the dynamics of q are the same for every family of affine maps (universality).
    """
    if task_map.structure == "scalar":
        return "scalar"
    if task_map.structure == "nonlinear":
        return ""
    size = np.sqrt(np.diag(gram))
    cosines = gram / np.outer(size, size)
    np.fill_diagonal(cosines, 0.0)
    return "universal" if np.abs(cosines).max() <= 1e-14 else ""


def moment(problem: Problem) -> Outcome:
    """Second moments of u = (q_1..q_D, w): O(T^2) per episode or less, free of M and N."""
    task_map, shown = problem.map, problem.tasks
    q = task_map.inverse.rows(problem.x @ problem.P.T, problem.theta)
    u = np.vstack([q, problem.w])
    slow, fast = problem.shares()
    size = u.shape[0]
    trace = np.empty((problem.rows if "S" in problem.record else 0, size, size))
    if task_map.structure in ("scalar", "conformal"):
        slopes = task_map.task_slopes(problem.theta)
        scalar = task_map.structure == "scalar"
        losses = moment_losses(
            u @ u.T, slow, fast, problem.order, trace=trace, tasks=shown,
            gram=problem.gram if scalar else None,
            slopes=slopes if scalar and task_map.slope is None else None,
        )  # fmt: skip
        losses = slopes[:shown] ** 2 * losses
    else:
        losses = _under_each_metric(problem, u, slow, fast)
        if len(trace):
            moment_losses(u @ u.T, slow, fast, problem.order, trace=trace)
    if not np.isfinite(losses).all():
        first = int(np.flatnonzero(~np.isfinite(losses).all(1))[0])
        raise _not_finite(task_map, first, problem.smaller)
    # Clean tasks and w; points of single episodes are no part of the state.
    keep = [*range(shown), size - 1]
    return losses, {"S": trace[:, keep][:, :, keep]} if len(trace) else {}


def _under_each_metric(problem: Problem, u: Floats, slow: Floats, fast: Floats) -> Floats:
    """l_j = 1/2 |A_j (q_j - w)|^2: one recursion per task, in the moments of A_j u."""
    out = np.empty((problem.rows, problem.tasks))
    for j in range(problem.tasks):
        theta = np.repeat(problem.theta[j : j + 1], len(u), axis=0)
        image = problem.map.forward.rows(u, theta) - problem.map.forward.rows(np.zeros_like(u), theta)
        out[:, j] = moment_losses(image @ image.T, slow, fast, problem.order)[:, j]
    return out


def _losses(task_map: TaskMap, Z: Floats, w: Floats, theta: Floats) -> Floats:
    result: Floats = 0.5 * np.square(Z - task_map.forward.rows(w, theta)).sum(1)
    return result


class Diverged(InputError):
    """Losses left the range of numbers during a run."""


def _not_finite(task_map: TaskMap, row: int, smaller: float) -> Diverged:
    when = "before training" if row == 0 else f"after episode {row}"
    bounded = task_map.codomain != (-np.inf, np.inf)
    return Diverged(
        f"losses of map {task_map.name!r} are not finite {when}",
        expected="a rate that keeps them finite" + (", and P x in the codomain" if bounded else ""),
        fix=f"rate={smaller:.2g}",
    )
