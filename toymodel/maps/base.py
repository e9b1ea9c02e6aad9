"""The contract of a task map f_i: what the fast weights must be turned into to solve task i."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toymodel.base.compiled import compiled
from toymodel.base.errors import InputError
from toymodel.base.words import arg, one_line

__all__ = ["Structure", "TaskMap", "VectorFunction", "from_functions", "vector_function"]

Floats = NDArray[np.float64]
Interval = tuple[float, float]
Structure = Literal["scalar", "conformal", "affine", "nonlinear"]

EVERYWHERE: Interval = (-np.inf, np.inf)


class VectorFunction:
    """One direction of a map: ``function(v, theta, out)`` over whole vectors, compiled when first needed.

    Args:
        source: a Python function, or one already compiled with numba.
        jitted: compile it (numba) for ``void(float64[::1], float64[::1], float64[::1])``; False leaves it to
            the interpreter, which is slower and works all the same.
        cache: keep the compiled code on disk. Right for a function of a file, wrong for a closure.
    """

    def __init__(self, source: Callable[..., Any], *, jitted: bool = True, cache: bool = True) -> None:
        _check_arguments(source)
        self.source = source
        self.jitted = jitted
        self._cache = cache

    @functools.cached_property
    def compiled(self) -> Callable[..., None]:
        """What compiled engines call.

        Raises:
            InputError: where the function is plain Python, or numba cannot compile it.
        """
        if not self.jitted:
            raise InputError(
                f"{_name(self.source)} is a Python function",
                expected="one compiled with numba, for compiled engines and sweeps",
                fix=f"decorate {_name(self.source)} with @numba.njit",
            )
        import numba

        vector = numba.float64[::1]
        try:
            if hasattr(self.source, "py_func"):
                given: Any = self.source
                given.compile((vector, vector, vector))
                return self.source
            signature = numba.void(vector, vector, vector)
            # Products may be fused with the sums they go into: faster, and rounded once instead of twice.
            return compiled(self.source, signature, cache=self._cache, fastmath={"contract"})
        except (numba.core.errors.NumbaError, RuntimeError) as error:
            why = one_line(error)
            raise InputError(
                f"numba cannot compile {_name(self.source)}: {why}",
                expected="a function of (v, theta, out), float64 vectors, that writes into out",
                fix="def forward(w, theta, out): out[:] = theta - w",
            ) from error

    def __call__(self, v: Floats, theta: Floats, out: Floats) -> None:
        """Write the function of v into out, for one parameter row."""
        try:
            returned = (self.compiled if self.jitted else self.source)(v, theta, out)
        except TypeError as error:
            kinds = ", ".join(f"{a.dtype} {a.shape}" if isinstance(a, np.ndarray) else type(a).__name__
                              for a in (v, theta, out))  # fmt: skip
            raise InputError(
                f"{_name(self.source)} does not take ({kinds}): {one_line(error, 120)}",
                expected="three float64 vectors, contiguous and writable",
                fix="np.ascontiguousarray(v, dtype=np.float64)",
            ) from error
        if returned is not None:
            raise InputError(
                f"{_name(self.source)} returns a value",
                expected="a function of (v, theta, out) that writes into out and returns None",
                fix="out[:] = ... in place of return ...",
            )

    def rows(self, v: ArrayLike, theta: Floats) -> Floats:
        """One vector for each row of theta.

        Args:
            v: vectors, shape ``(T, M)``, or one for all tasks, shape ``(M,)``.
            theta: parameter rows, shape ``(T, p)``.

        Returns:
            shape ``(T, M)``.
        """
        values = np.asarray(v, dtype=np.float64)
        # A copy: compiled functions take writable arrays only.
        values = np.array(np.broadcast_to(values, (len(theta), values.shape[-1])), order="C")
        out = np.empty_like(values)
        for i in range(len(theta)):
            self(values[i], theta[i], out[i])
        return out


def _check_arguments(source: Callable[..., Any]) -> None:
    """Refuse a function that cannot take (v, theta, out), before it is called or compiled."""
    function = getattr(source, "py_func", source)
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # what has no signature says so when called
        return
    try:
        signature.bind(None, None, None)
    except TypeError:
        raise InputError(
            f"{_name(source)} takes {signature}",
            expected="three arguments (v, theta, out), vectors, the last of which is written",
            fix="def forward(w, theta, out): out[:] = theta - w",
        ) from None


@functools.cache
def vector_function(source: Callable[..., Any]) -> VectorFunction:
    """The one `VectorFunction` of a built-in body: compiled code is loaded once in a process."""
    return VectorFunction(source)


def _targets(y: Floats) -> Floats:
    return y


@dataclass(frozen=True, eq=False)
class TaskMap:
    """A family of invertible maps f_1..f_T of R^M, one row of parameters per task.

    Attributes:
        name: as on the command line.
        forward: ``forward(w, theta, out)`` writes f_i(w); `out` never overlaps `w`.
        inverse: ``inverse(z, theta, out)`` writes f_i^{-1}(z), NaN where there is none.
        parameters: from the targets y, shape ``(T, M)``, to the rows theta, shape ``(T, p)``.
        structure: what is promised about f_i(w) = A_i w + y_i. ``scalar``: A_i = s_i I; ``conformal``:
            A_i^T A_i = s_i^2 I; ``affine``: any A_i; ``nonlinear``: nothing.
        slope: s, where all tasks share it (scalar maps), else None.
        slopes: from theta to s_1..s_T, shape ``(T,)``, for scalar and conformal maps.
        domain: open interval in which the entries of w may lie.
        codomain: open interval that f maps the domain onto; None where it is not known.
        lipschitz: from theta to the Lipschitz constants of every f_i and f_i^{-1}, shape ``(T, 2)`` (infinite
            where there is none); None where they are not known (see `lipschitz_constants`).
        phi_parameters: promises f_i(w) = phi(w) + y_i and says how many numbers at the start of a row are
            phi's; what follows is y_i, or nothing. None where f is not of that form.
    """

    name: str
    forward: VectorFunction
    inverse: VectorFunction
    parameters: Callable[[Floats], Floats] = _targets
    structure: Structure = "nonlinear"
    slope: float | None = None
    slopes: Callable[[Floats], Floats] | None = None
    domain: Interval = EVERYWHERE
    codomain: Interval | None = EVERYWHERE
    lipschitz: Callable[[Floats], Floats] | None = None
    phi_parameters: int | None = None

    def __post_init__(self) -> None:
        for name in ("forward", "inverse"):
            given = getattr(self, name)
            if not isinstance(given, VectorFunction):
                raise InputError(
                    f"TaskMap {self.name!r} with {name} a {type(given).__name__}",
                    expected="functions compiled with what goes with them",
                    fix=f"from_functions(forward, inverse, name={str(self.name)!r})",
                )

    @property
    def jitted(self) -> bool:
        """Whether compiled engines can run it."""
        return self.forward.jitted and self.inverse.jitted

    def theta(self, targets: ArrayLike) -> Floats:
        """Parameter rows for these targets.

        Args:
            targets: y, shape ``(T, M)``.

        Returns:
            shape ``(T, p)``, contiguous.

        Raises:
            InputError: for rows that are misshaped or not finite.
        """
        y = np.ascontiguousarray(targets, dtype=np.float64)
        theta = np.ascontiguousarray(self.parameters(y), dtype=np.float64)
        if theta.ndim != 2 or len(theta) != len(y) or not np.isfinite(theta).all():
            raise InputError(
                f"map {self.name!r} has parameters of shape {theta.shape} for {len(y)} tasks",
                expected=f"one row of finite numbers per task, shape ({len(y)}, p)",
                fix="return one row per task from parameters(y)",
            )
        return theta

    def common(self, theta: Floats, dimension: int) -> tuple[Floats, Floats] | None:
        """One row for all tasks and the targets it leaves out, where f_i(w) = phi(w) + y_i with one phi.

        Args:
            theta: parameter rows, shape ``(T, p)``.
            dimension: M.

        Returns:
            The row of phi, shape ``(1, p)``, and y, shape ``(T, M)``; None where the tasks differ in more.

        Raises:
            InputError: where `phi_parameters` leaves neither M targets nor none.
        """
        if (
            self.phi_parameters is None
            or not (theta[:, : self.phi_parameters] == theta[:1, : self.phi_parameters]).all()
        ):
            return None
        row, y = theta[:1].copy(), theta[:, self.phi_parameters :]
        if y.shape[1] not in (0, dimension):
            raise InputError(
                f"map {self.name!r} has {y.shape[1]} numbers after phi's {self.phi_parameters}",
                expected=f"the {dimension} targets, or none", fix=arg("phi_parameters", None),
            )  # fmt: skip
        row[:, self.phi_parameters :] = 0.0
        return row, y if y.shape[1] else np.zeros((len(theta), dimension))

    def task_slopes(self, theta: Floats) -> Floats:
        """s_1..s_T of scalar and conformal maps, shape ``(T,)``."""
        if self.slopes is not None:
            return self.slopes(theta)
        if self.slope is not None:
            return np.full(len(theta), self.slope)
        raise InputError(f"map {self.name!r} has no slopes", expected="a scalar or conformal map",
                         fix=arg("map", "affine"))  # fmt: skip


def from_functions(
    forward: Callable[..., Any],
    inverse: Callable[..., Any],
    *,
    name: str = "custom",
    parameters: Callable[[Floats], Floats] | None = None,
    structure: Structure | None = None,
    slope: float | None = None,
    slopes: Callable[[Floats], Floats] | None = None,
    domain: Interval = EVERYWHERE,
    codomain: Interval | None = EVERYWHERE,
    lipschitz: Callable[[Floats], Floats] | None = None,
    phi_parameters: int | None = None,
    jitted: bool | None = None,
) -> TaskMap:
    """A map from a user's own pair of functions.

    Both have the form ``function(v, theta, out)`` over whole vectors (float64, contiguous) and write into
    `out`. Compiled with ``@numba.njit`` they run in every engine at full speed; plain Python functions work
    too, slower. `check_task_map` tells whether the pair is what the model needs.

    Args:
        forward: f_i(w) with the parameters of task i.
        inverse: f_i^{-1}(z).
        name: shown in messages.
        parameters: from the targets, ``(T, M)``, to parameter rows, ``(T, p)``; the targets themselves if
            None.
        structure: what is promised about the map (see `TaskMap`); ``scalar`` where a slope is given, else
            ``nonlinear`` if None.
        slope: s, where f_i(w) = s w + (something free of w) for every task.
        slopes: s_i from theta, for scalar and conformal maps whose tasks differ.
        domain: open interval of the entries of w.
        codomain: open interval of the entries of z; None where it is not known.
        lipschitz: constants of f_i and its inverse from theta, shape ``(T, 2)``.
        phi_parameters: promise that f_i(w) = phi(w) + y_i (see `TaskMap`); up to T times as fast.
        jitted: True demands compiled functions; None takes them as they are.

    Raises:
        InputError: for what is not callable, promises that contradict each other, or a Python function where
            a compiled one is demanded.
    """
    for function in (forward, inverse):
        if not callable(function):
            raise InputError(f"{function!r} is no function", expected="functions of (v, theta, out)",
                             fix="from_functions(forward, inverse)")  # fmt: skip
    given_slope = slope is not None or slopes is not None
    promised: Structure = structure or ("scalar" if given_slope else "nonlinear")
    if (promised in ("scalar", "conformal")) != given_slope or slope == 0:
        raise InputError(
            arg("structure", promised) + " with " + arg("slope", slope) + " and " + arg("slopes", slopes),
            expected="a slope other than 0, or slopes, exactly for scalar and conformal maps",
            fix="slope=-1.0 for f(w) = y - w",
        )
    pair = [VectorFunction(f, jitted=hasattr(f, "py_func"), cache=False) for f in (forward, inverse)]
    if jitted:
        for half in pair:
            _ = half.compiled
    if slope is not None and slopes is None:
        slopes = functools.partial(_constant, slope)
    common = slope if promised == "scalar" else None
    return TaskMap(name, pair[0], pair[1], parameters or _targets, promised, common, slopes,
                   domain, codomain, lipschitz, phi_parameters)  # fmt: skip


def _constant(value: float, theta: Floats) -> Floats:
    return np.full(len(theta), value)


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", repr(function))
