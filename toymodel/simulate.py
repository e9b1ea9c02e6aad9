"""The simulation of eqs. 3-5 and its extended form, by three engines that agree to rounding."""

from __future__ import annotations

import difflib
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toymodel.errors import InputError
from toymodel.losses import LossMatrix
from toymodel.maps import TaskMap, get_map
from toymodel.moments import epoch_operator, moment_losses, shares
from toymodel.tasks import Tasks

__all__ = ["ENGINES", "StabilityWarning", "ToyRun", "simulate"]

ENGINES = ("auto", "moment", "projected", "direct")


class StabilityWarning(UserWarning):
    """The rate is past the stability limit: losses will grow without bound."""


@dataclass(frozen=True)
class ToyRun:
    """A finished simulation.

    Attributes:
        losses: the loss matrix.
        engine: which engine computed it.
        status: what to know about the run, as a sentence.
    """

    losses: LossMatrix
    engine: str
    status: str


def simulate(
    tasks: Tasks,
    map: str | TaskMap,
    *,
    rate: float,
    epochs: int,
    inner_steps: int = 1,
    fast_rate: float = 1.0,
    engine: str = "auto",
    order: ArrayLike | None = None,
) -> ToyRun:
    """Train the toy model and record all losses after every episode.

    Each inner step is a slow step P <- P - alpha (P x_i - f_i(w)) x_i^T (eq. 4) followed by a fast step
    w <- w + eta (f_i^{-1}(P x_i) - w) (eq. 5 for eta = 1); the paper's model has one inner step.

    Args:
        tasks: data, targets and initial weights.
        map: f_i, by name or as a `TaskMap`.
        rate: alpha.
        epochs: E.
        inner_steps: K.
        fast_rate: eta in (0, 1].
        engine: ``direct`` (P itself, O(MN) per step), ``projected`` (Z = P X, O(MT)), ``moment``
            (common-slope maps, O(T^2) per episode, free of M and N) or ``auto``, the cheapest exact one.
        order: schedule, shape ``(E, T)``; cyclic if None.

    Raises:
        InputError: for values outside their ranges or an engine that cannot run this map.
    """
    task_map = get_map(map)
    if not (np.isfinite(rate) and rate > 0):
        raise InputError(f"rate={rate}", expected="a positive, finite learning rate", fix="rate=0.01")
    if epochs < 1:
        raise InputError(f"epochs={epochs}", expected="at least 1", fix="epochs=7")
    if inner_steps < 1:
        raise InputError(f"inner_steps={inner_steps}", expected="at least 1", fix="inner_steps=1")
    if not 0 < fast_rate <= 1:
        raise InputError(f"fast_rate={fast_rate}", expected="0 < fast_rate <= 1", fix="fast_rate=1.0")
    if engine not in ENGINES:
        near = difflib.get_close_matches(engine, ENGINES, n=1, cutoff=0.0)[0]
        raise InputError(
            f"engine={engine!r}", expected="one of " + ", ".join(ENGINES), fix=f"engine={near!r}"
        )
    if engine == "moment" and task_map.slope is None:
        raise InputError(f"engine='moment' with map {task_map.name!r}", expected="a map with one slope",
                         fix="engine='projected'")  # fmt: skip
    count = len(tasks.x)
    # The loss matrix is the one place that knows what a schedule may be; let it judge before any work.
    schedule = LossMatrix.from_values(np.zeros((1 + epochs * count, count)), order).order
    chosen = ("moment" if task_map.slope is not None else "projected") if engine == "auto" else engine
    status = _stability(tasks, task_map, rate, inner_steps, fast_rate)
    if chosen == "moment":
        values = _by_moments(tasks, task_map, rate, inner_steps, fast_rate, schedule)
    else:
        step = _direct if chosen == "direct" else _projected
        values = step(tasks, task_map, rate, inner_steps, fast_rate, schedule.ravel())
    return ToyRun(LossMatrix.from_values(values, schedule), chosen, status)


def _stability(tasks: Tasks, task_map: TaskMap, rate: float, inner_steps: int, fast_rate: float) -> str:
    """Spectral radius of one epoch (common-slope maps), as a status; warns before an unstable run."""
    if task_map.slope is None:
        return f"done; the stability of map {task_map.name!r} is not known beforehand"
    gram = tasks.gram
    a = rate * np.diag(gram)
    phi = epoch_operator(gram, *shares(a, fast_rate, inner_steps))
    radius = float(np.abs(np.linalg.eigvals(phi)).max())
    if radius <= 1 + 1e-9:  # consensus, all q_i = w, always has eigenvalue 1
        return f"done; stable (an epoch's spectral radius is {radius:.6g})"
    count = len(a)
    message = (
        f"rate {rate:g} is past the stability limit: losses grow by up to {radius**2:.3g} per epoch. Here "
        f"rate*||x||^2 averages {a.mean():.3g}; for orthogonal data and one full fast step the limit is "
        f"T/(T-1) = {count / (count - 1):.3g}. Try rate={rate / a.mean() / 3:.2g}"
    )
    warnings.warn(message, StabilityWarning, stacklevel=3)
    return "done; " + message


def _by_moments(
    tasks: Tasks,
    task_map: TaskMap,
    rate: float,
    inner_steps: int,
    fast_rate: float,
    schedule: NDArray[np.int64],
) -> NDArray[np.float64]:
    q = task_map.inverse(tasks.x @ tasks.P.T, tasks.y)
    u = np.vstack([q, tasks.w])
    gram = tasks.gram
    a, b = shares(rate * np.diag(gram), fast_rate, inner_steps)
    losses = moment_losses(u @ u.T, a[schedule], b[schedule], schedule, gram=gram)
    assert task_map.slope is not None
    return task_map.slope**2 * losses


def _projected(
    tasks: Tasks, task_map: TaskMap, rate: float, inner_steps: int, fast_rate: float, flat: NDArray[np.int64]
) -> NDArray[np.float64]:
    """P enters only through its products with the data: z_j <- z_j - alpha G_ij (z_i - f_i(w))."""
    z, w, gram, y = tasks.x @ tasks.P.T, tasks.w.copy(), tasks.gram, tasks.y
    rows = [_losses(task_map, z, w, y)]
    for i in flat:
        for _ in range(inner_steps):
            z -= rate * np.outer(gram[i], z[i] - task_map.forward(w, y[i]))
            w = w + fast_rate * (task_map.inverse(z[i], y[i]) - w)
        rows.append(_losses(task_map, z, w, y))
    return np.array(rows)


def _direct(
    tasks: Tasks, task_map: TaskMap, rate: float, inner_steps: int, fast_rate: float, flat: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Eqs. 3-5 as they are written."""
    P, w, x, y = tasks.P.copy(), tasks.w.copy(), tasks.x, tasks.y
    rows = [_losses(task_map, x @ P.T, w, y)]
    for i in flat:
        for _ in range(inner_steps):
            P -= rate * np.outer(P @ x[i] - task_map.forward(w, y[i]), x[i])
            w = w + fast_rate * (task_map.inverse(P @ x[i], y[i]) - w)
        rows.append(_losses(task_map, x @ P.T, w, y))
    return np.array(rows)


def _losses(
    task_map: TaskMap, z: NDArray[np.float64], w: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.float64]:
    return 0.5 * np.square(z - task_map.forward(w, y)).sum(1)
