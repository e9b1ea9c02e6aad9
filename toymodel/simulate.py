"""The simulation of eqs. 3-5 and its extended form: checks first, then the cheapest exact engine."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toymodel import engines
from toymodel.base.errors import InputError
from toymodel.base.memory import refuse_if_too_large
from toymodel.base.notebook import Shown
from toymodel.base.numbers import real, whole
from toymodel.base.words import arg, nearest
from toymodel.maps import TaskMap, get_map
from toymodel.measures.losses import LossMatrix
from toymodel.tasks import Tasks
from toymodel.theory.spectrum import effective_gram, growth, rate_limit

__all__ = ["ENGINES", "TRAJECTORIES", "StabilityWarning", "ToyRun", "simulate"]

Floats = NDArray[np.float64]

ENGINES = ("auto", "moment", "projected", "direct")
TRAJECTORIES = ("q", "w", "Z", "S", "P")
UNSTABLE = ("error", "warn", "allow")


class StabilityWarning(UserWarning):
    """The rate is past the stability limit: losses will grow without bound."""


@dataclass(frozen=True)
class ToyRun(Shown):
    """A finished simulation.

    Attributes:
        losses: the loss matrix.
        engine: which engine computed it.
        status: what to know about the run, as a sentence.
        stable: whether the rate is within the stability limit; None where that is not known beforehand.
        trajectories: what `record` asked for, each with one entry per row of the loss matrix (before
            training, then after every episode; R = 1 + E*T rows): ``q`` solution coordinates f_j^{-1}(P x_j),
            ``(R, T, M)``; ``w`` fast weights, ``(R, M)``; ``Z`` projections P x_j, ``(R, T, M)``; ``S``
            moments sum_m u_m u_m^T over u = (q_1..q_T, w), ``(R, T+1, T+1)``; ``P`` slow weights, ``(R, M,
            N)``.
    """

    losses: LossMatrix
    engine: str
    status: str
    trajectories: Mapping[str, Floats] = field(default_factory=dict)
    stable: bool | None = None

    def __repr__(self) -> str:
        kept = f", with {', '.join(self.trajectories)}" if self.trajectories else ""
        return f"ToyRun({self.losses}, engine={self.engine!r}{kept}; {self.status})"


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
    noise: ArrayLike | None = None,
    record: str | Iterable[str] = (),
    unstable: str = "error",
) -> ToyRun:
    """Train the toy model and record all losses after every episode.

    Each inner step is a slow step P <- P - alpha (P x_i - f_i(w)) x_i^T (eq. 4) followed by a fast step
    w <- w + eta (f_i^{-1}(P x_i) - w) (eq. 5 for eta = 1); the paper's model has one inner step.

    The stability limit of this model is alpha ||x||^2 <= T/(T-1) for orthogonal data, about 1 and not the 2
    of plain gradient descent. The rate of 0.01 that the paper's text gives for Fig. 10a (N = M = 1000, f =
    identity) lies far past it, at alpha ||x||^2 = 3.3, and diverges; 0.001 gives the figure.

    Args:
        tasks: data, targets and initial weights.
        map: f_i, by name or as a `TaskMap`.
        rate: alpha.
        epochs: E.
        inner_steps: K.
        fast_rate: eta in (0, 1].
        engine: ``direct`` (P itself, O(MN) per step), ``projected`` (Z = P X, O(MT)), ``moment`` (scalar
            maps, or any affine ones with orthogonal data: O(T^2) per episode or less, free of M and N) or
            ``auto``, the cheapest exact one.
        order: task of each episode, shape ``(E, T)`` (see `toymodel.schedule`); cyclic if None.
        noise: added to x_i in every episode, shape ``(E, T, N)`` (see `toymodel.episode_noise`); losses are
            those of the clean x_i.
        record: which of ``q``, ``w``, ``Z``, ``S``, ``P`` to keep for every row (see `ToyRun.trajectories`).
            ``S`` is all that the moment engine has; ``P`` only the direct engine.
        unstable: what to do with a rate past the limit, before running: ``error`` refuses it, ``warn`` says
            so (`StabilityWarning`) and runs, ``allow`` runs and says so in the status. The limit of
            nonlinear maps, and of other affine ones on correlated data, is not known beforehand.

    Raises:
        InputError: for values outside their ranges, a rate past the limit, an engine that cannot run this
            map, trajectories that do not fit in memory, or values outside the map's domain or codomain.
    """
    task_map = get_map(map)
    wanted = _check(tasks, rate, fast_rate, engine, record, unstable)
    epochs, inner_steps = (
        whole("epochs", epochs, least=1, fix=7),
        whole("inner_steps", inner_steps, least=1, fix=1),
    )
    count = len(tasks.x)
    # The loss matrix is the one place that knows what a schedule may be; let it judge before any work.
    schedule = LossMatrix.from_values(np.zeros((1 + epochs * count, count)), order).order
    _refuse_trajectories(wanted, 1 + schedule.size, tasks)
    theta = task_map.theta(tasks.y)
    _within(task_map, tasks, theta)
    problem = engines.Problem(
        task_map, theta, tasks.x, tasks.gram, tasks.P, tasks.w, float(rate), float(fast_rate),
        inner_steps, count, schedule, wanted, rate / 3,
    )  # fmt: skip
    form = engines.moment_form(task_map, problem.gram)
    status, limit, stable = _stability(problem, form, unstable)
    problem = dataclasses.replace(problem, smaller=min(rate, limit) / 3)
    if noise is not None:
        problem = _with_noise(problem, noise)
        form = engines.moment_form(task_map, problem.gram)
    chosen = _choose(engine, form, problem)
    run = {"moment": engines.moment, "projected": engines.projected, "direct": engines.direct}[chosen]
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # a run that diverges says so itself
            values, kept = run(problem)
    except ArithmeticError as error:  # what Python functions raise where compiled ones give infinities
        raise InputError(f"map {task_map.name!r} fails during the run: {error}", expected="finite losses",
                         fix=arg("rate", float(f"{problem.smaller:.2g}"))) from error  # fmt: skip
    return ToyRun(LossMatrix(values, schedule), chosen, status, kept, stable)


def _check(
    tasks: Tasks,
    rate: float,
    fast_rate: float,
    engine: str,
    record: str | Iterable[str],
    unstable: str,
) -> tuple[str, ...]:
    """Judge the settings by themselves; the names to record."""
    if not isinstance(tasks, Tasks):
        raise InputError(f"tasks of type {type(tasks).__name__}", expected="a toymodel.Tasks",
                         fix="tasks=random_tasks(25, 100)")  # fmt: skip
    real("rate", rate, above=0, fix=0.001)
    if not 0 < real("fast_rate", fast_rate) <= 1:
        raise InputError(
            arg("fast_rate", fast_rate), expected="0 < fast_rate <= 1", fix=arg("fast_rate", 1.0)
        )
    wanted = (record,) if isinstance(record, str) else tuple(dict.fromkeys(record))
    for name, value, known in (
        ("engine", engine, ENGINES),
        ("unstable", unstable, UNSTABLE),
        *(("record", one, TRAJECTORIES) for one in wanted),
    ):
        if value not in known:
            near = nearest(value, known)
            raise InputError(arg(name, value), expected="one of " + ", ".join(known), fix=arg(name, near))
    return wanted


def _refuse_trajectories(wanted: tuple[str, ...], rows: int, tasks: Tasks) -> None:
    T, (M, N) = len(tasks.x), tasks.P.shape
    entries = {"q": T * M, "Z": T * M, "w": M, "S": (T + 1) ** 2, "P": M * N}
    size = 8 * rows * (T + sum(entries[name] for name in wanted))
    refuse_if_too_large(size, "the trajectories", "record fewer of them, or fewer epochs")


def _within(task_map: TaskMap, tasks: Tasks, theta: Floats) -> None:
    """Initial weights must lie where the map and its inverse exist."""
    low, high = task_map.domain
    outside = ~((tasks.w > low) & (tasks.w < high))
    if outside.any():
        m = int(np.flatnonzero(outside)[0])
        raise InputError(f"w[{m}] = {tasks.w[m]:.6g} is outside the domain of map {task_map.name!r}",
                         expected=f"{low:g} < w < {high:g}", fix="start from other fast weights")  # fmt: skip
    if task_map.codomain in (None, (-np.inf, np.inf)):
        return
    assert task_map.codomain is not None
    low, high = task_map.codomain
    Z = tasks.x @ tasks.P.T
    bad = np.argwhere(~((low < Z) & (high > Z)))
    if len(bad):
        i, m = (int(v) for v in bad[0])
        raise InputError(
            f"(P x_{i})[{m}] = {Z[i, m]:.6g} is outside the codomain of map {task_map.name!r}",
            expected=f"{low:g} < P x < {high:g}",
            fix="smaller initial weights P",
        )


def _with_noise(problem: engines.Problem, noise: ArrayLike) -> engines.Problem:
    """A point for every episode, behind the clean tasks."""
    T, N = problem.x.shape
    added = np.asarray(noise, dtype=np.float64)
    if added.shape != (*problem.order.shape, N) or not np.isfinite(added).all():
        raise InputError(f"noise of shape {added.shape}", expected=f"finite, {(*problem.order.shape, N)}",
                         fix="noise=episode_noise(tasks, order, 'mask', 0.1)")  # fmt: skip
    flat = problem.order.ravel()
    x = np.concatenate([problem.x, problem.x[flat] + added.reshape(-1, N)])
    if not (np.square(x).sum(1) > 0).all():
        raise InputError("noise that cancels a data point", expected="||x_i + noise|| > 0", fix="less noise")
    return dataclasses.replace(
        problem,
        x=x,
        gram=x @ x.T,
        theta=np.concatenate([problem.theta, problem.theta[flat]]),
        order=T + np.arange(flat.size).reshape(problem.order.shape),
    )


def _choose(engine: str, form: str, problem: engines.Problem) -> str:
    name, wanted = problem.map.name, set(problem.record)
    if engine == "moment" and not form:
        raise InputError(
            arg("engine", "moment") + f" with map {name!r}",
            expected="a scalar map, or any affine map with orthogonal data",
            fix=arg("engine", "projected"),
        )
    for which, lacks in (("moment", {"q", "w", "Z", "P"}), ("projected", {"P"})):
        if engine == which and wanted & lacks:
            raise InputError(
                arg("engine", engine) + " with " + arg("record", sorted(wanted & lacks)),
                expected="trajectories that this engine has",
                fix=arg("engine", "auto"),
            )
    if engine != "auto":
        return engine
    if "P" in wanted:
        return "direct"
    # Second moments cost T^2 per episode in place of M T.
    cheaper = form and len(problem.x) <= 2 * len(problem.w)
    return "moment" if cheaper and wanted <= {"S"} else "projected"


def _stability(problem: engines.Problem, form: str, unstable: str) -> tuple[str, float, bool | None]:
    """The status, the limit where it is passed, and whether it is; before that, an error or a warning."""
    task_map, theta = problem.map, problem.theta
    number = ""
    if task_map.lipschitz is not None:
        constants = task_map.lipschitz(theta).prod(1).max()
        number = f"; condition number of the map {constants:.3g}" if 1 + 1e-9 < constants < np.inf else ""
    if not form:
        return f"done; the stability of map {task_map.name!r} is not known beforehand{number}", np.inf, None
    gram = problem.gram
    if form == "scalar" and task_map.slope is None:
        gram = effective_gram(gram, task_map.task_slopes(theta))
    radius = _radius(gram, problem)
    if radius <= 1 + 1e-9:  # data that cannot all be solved keep an eigenvalue of exactly 1
        return f"done; stable (an epoch's spectral radius is {radius:.6g}){number}", np.inf, True
    limit = rate_limit(
        gram, inner_steps=problem.inner_steps, fast_rate=problem.fast_rate, order=problem.order
    )
    a = problem.rate * float(np.diag(gram).mean())
    message = (
        arg("rate", problem.rate) + f" is past the stability limit of {limit:.4g} "
        f"(rate*||x||^2 = {a:.3g}): losses would grow by up to {radius * radius:.3g} per epoch"
    )
    if unstable == "error":
        raise InputError(
            message,
            expected="a rate below the limit",
            fix=arg("rate", float(f"{limit / 3:.2g}"))
            + ", or "
            + arg("unstable", "warn")
            + " to watch it diverge",
        )
    if unstable == "warn":
        warnings.warn(message, StabilityWarning, stacklevel=3)  # the line that calls simulate
    return f"done; {message}{number}", limit, False


def _radius(gram: Floats, problem: engines.Problem) -> float:
    """Growth of the differences q_j - w per epoch; for changing orders the mean over the run."""
    a, b = engines.shares(problem.rate * np.diag(gram), problem.fast_rate, problem.inner_steps)
    return growth(gram, a, b, problem.order)
