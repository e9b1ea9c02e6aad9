"""Is a map what the model needs? Round trips from both sides, and Lipschitz constants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toymodel.base.errors import InputError
from toymodel.base.words import arg
from toymodel.maps.base import Interval, TaskMap, VectorFunction
from toymodel.maps.builtin import get_map

__all__ = ["MapCheck", "check_task_map", "lipschitz_constants"]

Floats = NDArray[np.float64]
EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class MapCheck:
    """A map that passed.

    Attributes:
        worst: largest round-trip error over its tolerance; below 1.
        worst_input: the vector where it stands, shape ``(M,)``.
        worst_side: ``"f^-1(f(w))"`` or ``"f(f^-1(z))"``.
        condition: largest local condition number met.
    """

    worst: float
    worst_input: Floats
    worst_side: str
    condition: float


def check_task_map(
    map: str | TaskMap,
    *,
    targets: ArrayLike | None = None,
    tasks: int = 3,
    dimension: int = 5,
    samples: int = 200,
    seed: int = 0,
) -> MapCheck:
    """Try a map on vectors of all sizes, near the edges of its domain and codomain too.

    Both f^{-1}(f(w)) = w and f(f^{-1}(z)) = z must hold to rounding. Rounding is judged by the map's own
    conditioning, measured where it stands: an error eps in z is worth eps * |d f^{-1} / d z| in w.

    Args:
        map: by name or as a `TaskMap`.
        targets: y that the parameter rows come from, shape ``(T, M)``; standard normal if None.
        tasks: T, where no targets are given.
        dimension: M, likewise.
        samples: vectors tried for each task from each side.
        seed: of the draws.

    Where the map promises ``f_i(w) = phi(w) + y_i`` (`TaskMap.phi_parameters`), that is tried as well.

    Returns:
        How close it came.

    Raises:
        InputError: for a wrong inverse, a map that gives one value to two inputs (both are named), values
            outside the codomain, NaN, functions that change their input or leave out unwritten, and shapes or
            dtypes that do not fit.
    """
    task_map = get_map(map)
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(tasks, dimension)) if targets is None else np.asarray(targets, dtype=np.float64)
    if y.ndim != 2:
        raise InputError(f"targets of shape {y.shape}", expected="(T, M)", fix="targets=np.zeros((3, 5))")
    theta = task_map.theta(y)
    worst = MapCheck(0.0, np.zeros(y.shape[1]), "f^-1(f(w))", 1.0)
    _check_common(task_map, theta, rng, y.shape[1])
    for task, row in enumerate(theta):
        for side, interval in enumerate((task_map.domain, task_map.codomain)):
            for v in _probes(interval, samples if interval is not None else 0, y.shape[1], rng):
                trip = _round_trip(task_map, task, row, v, reverse=bool(side))
                if trip is not None and trip[0] >= worst.worst:
                    worst = MapCheck(trip[0], v, _SIDES[side], max(worst.condition, trip[1]))
                elif trip is not None:
                    worst = MapCheck(worst.worst, worst.worst_input, worst.worst_side,
                                     max(worst.condition, trip[1]))  # fmt: skip
    return worst


def _check_common(task_map: TaskMap, theta: Floats, rng: np.random.Generator, size: int) -> None:
    """Refuse a map that differs between tasks in more than it promises."""
    common = task_map.common(theta, size)
    if common is None:
        return
    (phi,), y = common
    for v in _probes(task_map.domain, 20, size, rng):
        image = _call(task_map.forward, v, phi, 0)
        for task, row in enumerate(theta):
            whole = _call(task_map.forward, v, row, task)
            error = np.abs(whole - (image + y[task]))
            if np.isfinite(whole).all() and not (error <= 8 * EPS * (np.abs(image) + np.abs(y[task]))).all():
                m = int(np.argmax(error))
                raise InputError(
                    f"map {task_map.name!r}, task {task}: f({v[m]:.6g}) = {whole[m]:.9g}, but phi + y is "
                    f"{image[m] + y[task, m]:.9g} (entry {m})",
                    expected="f_i(w) = phi(w) + y_i, as phi_parameters promises",
                    fix=arg("phi_parameters", None),
                )


_SIDES = ("f^-1(f(w))", "f(f^-1(z))")


def _round_trip(
    task_map: TaskMap, task: int, row: Floats, v: Floats, *, reverse: bool
) -> tuple[float, float] | None:
    """Error over tolerance and local condition number; None where f overflows far outside [-10, 10]."""
    there, back = (task_map.forward, task_map.inverse)[:: -1 if reverse else 1]
    middle = _call(there, v, row, task)
    if not np.isfinite(middle).all():
        if not reverse and np.abs(v).max() > 10:
            return None
        m = int(np.flatnonzero(~np.isfinite(middle))[0])
        raise InputError(
            f"map {task_map.name!r}, task {task}: {'f^-1' if reverse else 'f'} of {v[m]:.6g} is {middle[m]}",
            expected=f"finite values on all of its {'codomain' if reverse else 'domain'}",
            fix="state a narrower domain and codomain",
        )
    target = task_map.domain if reverse else task_map.codomain
    if target is not None and not ((middle >= target[0]) & (middle <= target[1])).all():
        m = int(np.flatnonzero((middle < target[0]) | (middle > target[1]))[0])
        raise InputError(
            f"map {task_map.name!r}, task {task}: {v[m]:.6g} goes to {middle[m]:.6g}, outside {target}",
            expected="values in the stated interval",
            fix="correct the domain and codomain of the map",
        )
    if target is not None and ((middle == target[0]) | (middle == target[1])).any():
        return None  # rounded onto the open end, where no inverse is owed
    end = _call(back, middle, row, task)
    gain = _slope(back, middle, end, row, task, target)
    error = np.abs(end - v)
    size, far = float(np.abs(v).max()), float(np.abs(middle).max())
    tolerance = 64 * (len(v) + 4) * EPS * (size + gain * far) + np.finfo(np.float64).tiny
    m = int(np.nanargmax(np.where(np.isfinite(error), error, np.inf)))
    if not error[m] <= tolerance:
        raise _refusal(task_map, task, row, v, middle, end, m, reverse=reverse)
    return float(error[m] / tolerance), gain * far / size if size else 1.0


def _refusal(
    task_map: TaskMap,
    task: int,
    row: Floats,
    v: Floats,
    middle: Floats,
    end: Floats,
    m: int,
    *,
    reverse: bool,
) -> InputError:
    where = f"map {task_map.name!r}, task {task}"
    if not reverse and np.isfinite(end).all():
        again = _call(task_map.forward, end, row, task)
        if np.abs(again - middle).max() <= 1e-6 * np.abs(end - v).max():
            return InputError(
                f"{where} is not invertible: f({v[m]:.6g}) and f({end[m]:.6g}) are both {middle[m]:.6g}",
                expected="one input for every value",
                fix="narrow its domain to where it is monotone",
            )
    text = "f(f^-1({})) = {}" if reverse else "f^-1(f({})) = {}"
    return InputError(
        f"{where}: " + text.format(f"{v[m]:.9g}", f"{end[m]:.9g}") + f" (entry {m})",
        expected="the number it began with: the inverse is wrong",
        fix="solve z = f(w) for w again",
    )


def _slope(
    function: VectorFunction, v: Floats, value: Floats, row: Floats, task: int, interval: Interval | None
) -> float:
    """How much the function magnifies a small change of its argument there, at most over two directions."""
    low, high = interval or (-np.inf, np.inf)
    room = float(min((v - low).min(), (high - v).min()))
    h = 1e-7 * min(max(float(np.abs(v).max()), 1e-300), room)
    if not h > 0:
        return 0.0
    with np.errstate(all="ignore"):
        changes = [np.abs(_call(function, v + s * h, row, task) - value).max() for s in (1.0, -1.0)]
    finite = [c for c in changes if np.isfinite(c)]
    return float(max(finite, default=0.0)) / h


def _call(function: VectorFunction, v: Floats, row: Floats, task: int) -> Floats:
    """One call on copies, with everything that can go wrong said in one line."""
    untouched = -1.25e-300  # not NaN, which an inverse may write
    given, theta, out = v.copy(), row.copy(), np.full_like(v, untouched)
    label = getattr(function.source, "__name__", "the function")
    body: Callable[..., Any] = getattr(function.source, "py_func", function.source)
    try:
        if function.jitted:
            # Compiled code does not check indices; its Python body does.
            with np.errstate(all="ignore"):
                body(given, theta, out.copy())
        function(given, theta, out)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{label} fails on a vector of {len(v)} with {len(row)} parameters "
            f"({type(error).__name__}: {error})",
            expected="any float64 vector v, one row theta, and out of v's shape",
            fix="def forward(w, theta, out): out[:] = theta - w",
        ) from error
    if (out == untouched).any():
        m = int(np.flatnonzero(out == untouched)[0])
        raise InputError(f"{label} leaves out[{m}] unwritten (task {task})",
                         expected="every entry of out written", fix="out[:] = ...")  # fmt: skip
    if not (np.array_equal(given, v) and np.array_equal(theta, row)):
        raise InputError(f"{label} changes its input", expected="v and theta left as they are",
                         fix="write into out only")  # fmt: skip
    return out


def _probes(interval: Interval | None, samples: int, size: int, rng: np.random.Generator) -> list[Floats]:
    """Vectors of all magnitudes inside an open interval, many of them close to its ends."""
    low, high = interval or (0.0, 0.0)
    scales = 10.0 ** np.linspace(-6, 3, max(samples, 1))
    found: list[Floats] = []
    for n in range(samples):
        u = rng.uniform(0.5, 1, size)
        sign = rng.choice([-1.0, 1.0], size)
        if np.isfinite(low) and np.isfinite(high):
            edge = np.minimum(0.5, u * 10.0 ** rng.uniform(-9, 0, size))
            v = np.where(sign > 0, high - edge * (high - low), low + edge * (high - low))
        elif np.isfinite(low):
            v = low + u * scales[n]
        elif np.isfinite(high):
            v = high - u * scales[n]
        else:
            v = sign * u * scales[n]
        found.append(np.clip(v, np.nextafter(low, np.inf), np.nextafter(high, -np.inf)))
    return found


def lipschitz_constants(
    map: str | TaskMap, theta: ArrayLike, dimension: int, *, samples: int = 200, seed: int = 0
) -> tuple[Floats, bool]:
    """Lipschitz constants of every f_i and f_i^{-1}; their product bounds the condition number of f_i.

    Args:
        map: by name or as a `TaskMap`.
        theta: parameter rows, shape ``(T, p)``.
        dimension: M.
        samples: pairs of points for the estimate.
        seed: of their draw.

    Returns:
        The constants, shape ``(T, 2)``, and True where they are known. Else they are the largest ratios over
        pairs of random points in the domain (entries of order 1 where it is unbounded): lower bounds.
    """
    task_map, rows = get_map(map), np.ascontiguousarray(theta, dtype=np.float64)
    if task_map.lipschitz is not None:
        return task_map.lipschitz(rows), True
    rng = np.random.default_rng(seed)
    low, high = task_map.domain
    found = np.zeros((len(rows), 2))
    for _ in range(samples):
        if np.isfinite(low) or np.isfinite(high):
            pair = np.array(_probes(task_map.domain, 2, dimension, rng))
        else:
            pair = rng.normal(size=(2, dimension))
        pair[1] = pair[0] + (pair[1] - pair[0]) * 10.0 ** rng.uniform(-4, 0)
        one, two = (task_map.forward.rows(p, rows) for p in pair)
        ratio = np.linalg.norm(one - two, axis=1) / np.linalg.norm(pair[0] - pair[1])
        with np.errstate(divide="ignore"):
            found = np.fmax(found, np.stack([ratio, 1 / ratio], axis=1))
    return found, False
