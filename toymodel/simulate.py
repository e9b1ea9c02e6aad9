"""The simulation of eqs. 3-5 and its extended form, by three engines that agree to rounding."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toymodel.errors import InputError
from toymodel.losses import LossMatrix
from toymodel.maps import TaskMap, get_map
from toymodel.moments import epoch_operator, moment_losses, shares
from toymodel.tasks import Tasks

__all__ = ["ENGINES", "TRAJECTORIES", "StabilityWarning", "ToyRun", "simulate"]

ENGINES = ("auto", "moment", "projected", "direct")
TRAJECTORIES = ("q", "w", "Z", "S", "P")


class StabilityWarning(UserWarning):
    """The rate is past the stability limit: losses will grow without bound."""


@dataclass(frozen=True)
class ToyRun:
    """A finished simulation.

    Attributes:
        losses: the loss matrix.
        engine: which engine computed it.
        status: what to know about the run, as a sentence.
        trajectories: what `record` asked for, each with one entry per row of the loss matrix (before training,
            then after every episode; R = 1 + E*T rows): ``q`` solution coordinates f_j^{-1}(P x_j),
            ``(R, T, M)``; ``w`` fast weights, ``(R, M)``; ``Z`` projections P x_j, ``(R, T, M)``; ``S`` moments
            sum_m u_m u_m^T over u = (q_1..q_T, w), ``(R, T+1, T+1)``; ``P`` slow weights, ``(R, M, N)``.
    """

    losses: LossMatrix
    engine: str
    status: str
    trajectories: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


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
    record: str | Iterable[str] = (),
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
        record: which of ``q``, ``w``, ``Z``, ``S``, ``P`` to keep for every row (see `ToyRun.trajectories`).
            ``S`` is all that the moment engine has; ``P`` only the direct engine.

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
    wanted = (record,) if isinstance(record, str) else tuple(record)
    for name in wanted:
        if name not in TRAJECTORIES:
            raise InputError(f"record={name!r}", expected="names among " + ", ".join(TRAJECTORIES),
                             fix="record=('q', 'w')")  # fmt: skip
    chosen = engine
    if engine == "auto":
        chosen = "moment" if task_map.slope is not None and set(wanted) <= {"S"} else "projected"
        chosen = "direct" if "P" in wanted else chosen
    status = _stability(tasks, task_map, rate, inner_steps, fast_rate)
    run = {"moment": _by_moments, "projected": _projected, "direct": _direct}[chosen]
    values, kept = run(tasks, task_map, rate, inner_steps, fast_rate, schedule, wanted)
    return ToyRun(LossMatrix.from_values(values, schedule), chosen, status, kept)


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


def _by_moments(tasks, task_map, rate, inner_steps, fast_rate, schedule, wanted):
    q = task_map.inverse(tasks.x @ tasks.P.T, tasks.y)
    u = np.vstack([q, tasks.w])
    gram = tasks.gram
    a, b = shares(rate * np.diag(gram), fast_rate, inner_steps)
    losses = moment_losses(u @ u.T, a[schedule], b[schedule], schedule, gram=gram)
    S = u @ u.T
    kept = [S]
    for i in schedule.ravel():
        phi = epoch_operator(gram, a, b, [i])
        S = phi @ S @ phi.T
        kept.append(S)
    return task_map.slope**2 * losses, {"S": np.array(kept)} if wanted else {}


def _projected(tasks, task_map, rate, inner_steps, fast_rate, schedule, wanted):
    """P enters only through its products with the data: z_j <- z_j - alpha G_ij (z_i - f_i(w))."""
    z, w, gram, y = tasks.x @ tasks.P.T, tasks.w.copy(), tasks.gram, tasks.y
    keep = _Keeper(task_map, y, wanted)
    rows = [_losses(task_map, z, w, y)]
    keep(z, w)
    for i in schedule.ravel():
        for _ in range(inner_steps):
            z -= rate * np.outer(gram[i], z[i] - task_map.forward(w, y[i]))
            w = w + fast_rate * (task_map.inverse(z[i], y[i]) - w)
        rows.append(_losses(task_map, z, w, y))
        keep(z, w)
    return np.array(rows), keep.arrays


def _direct(tasks, task_map, rate, inner_steps, fast_rate, schedule, wanted):
    """Eqs. 3-5 as they are written."""
    P, w, x, y = tasks.P.copy(), tasks.w.copy(), tasks.x, tasks.y
    keep = _Keeper(task_map, y, wanted)
    rows = [_losses(task_map, x @ P.T, w, y)]
    keep(x @ P.T, w, P)
    for i in schedule.ravel():
        for _ in range(inner_steps):
            P -= rate * np.outer(P @ x[i] - task_map.forward(w, y[i]), x[i])
            w = w + fast_rate * (task_map.inverse(P @ x[i], y[i]) - w)
        rows.append(_losses(task_map, x @ P.T, w, y))
        keep(x @ P.T, w, P)
    return np.array(rows), keep.arrays


class _Keeper:
    def __init__(self, task_map, y, wanted):
        self.map, self.y, self.kept = task_map, y, {name: [] for name in wanted}

    def __call__(self, z, w, P=None):
        for name, rows in self.kept.items():
            q = self.map.inverse(z, self.y)
            u = np.vstack([q, w])
            rows.append({"q": q, "w": w, "Z": z.copy(), "S": u @ u.T, "P": None if P is None else P.copy()}[name])

    @property
    def arrays(self):
        return {name: np.array(rows) for name, rows in self.kept.items()}


def _losses(
    task_map: TaskMap, z: NDArray[np.float64], w: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.float64]:
    return 0.5 * np.square(z - task_map.forward(w, y)).sum(1)
