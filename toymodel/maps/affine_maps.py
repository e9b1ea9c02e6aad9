"""Affine maps f_i(w) = A_i w + y_i, from the identity to any invertible matrices."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toymodel.base.errors import InputError
from toymodel.base.words import arg
from toymodel.maps.base import TaskMap, vector_function

__all__ = ["affine", "diagonal", "identity", "linear", "orthogonal", "per_task", "reflection"]

Floats = NDArray[np.float64]

# Bodies that numba compiles. Matrices are stored by columns, so that the inner loops run over
# contiguous memory and vectorise without reordering any sum.


def _copy(v: Floats, theta: Floats, out: Floats) -> None:
    for m in range(v.shape[0]):
        out[m] = v[m]


def _reflect(v: Floats, theta: Floats, out: Floats) -> None:
    for m in range(v.shape[0]):
        out[m] = theta[m] - v[m]


def _scale(w: Floats, theta: Floats, out: Floats) -> None:
    s = theta[0]
    for m in range(w.shape[0]):
        out[m] = s * w[m] + theta[1 + m]


def _unscale(z: Floats, theta: Floats, out: Floats) -> None:
    s = theta[0]
    for m in range(z.shape[0]):
        out[m] = (z[m] - theta[1 + m]) / s


def _stretch(w: Floats, theta: Floats, out: Floats) -> None:
    size = w.shape[0]
    for m in range(size):
        out[m] = theta[m] * w[m] + theta[size + m]


def _unstretch(z: Floats, theta: Floats, out: Floats) -> None:
    size = z.shape[0]
    for m in range(size):
        out[m] = (z[m] - theta[size + m]) / theta[m]


def _multiply(w: Floats, theta: Floats, out: Floats) -> None:
    """Theta: A by columns, A^{-1} by columns, y."""
    size = w.shape[0]
    for m in range(size):
        out[m] = theta[2 * size * size + m]
    for k in range(size):
        value = w[k]
        for m in range(size):
            out[m] += theta[k * size + m] * value


def _solve(z: Floats, theta: Floats, out: Floats) -> None:
    size = z.shape[0]
    square = size * size
    for m in range(size):
        out[m] = 0.0
    for k in range(size):
        value = z[k] - theta[2 * square + k]
        for m in range(size):
            out[m] += theta[square + k * size + m] * value


def identity() -> TaskMap:
    """f_i(w) = w, the paper's first map: one target for all tasks."""
    pair = vector_function(_copy)
    return TaskMap("identity", pair, pair, lambda y: np.empty((len(y), 0)), "scalar", 1.0,
                   lipschitz=lambda theta: np.ones((len(theta), 2)), phi_parameters=0)  # fmt: skip


def reflection() -> TaskMap:
    """f_i(w) = y_i - w, the paper's second map."""
    pair = vector_function(_reflect)
    return TaskMap("reflection", pair, pair, structure="scalar", slope=-1.0,
                   lipschitz=lambda theta: np.ones((len(theta), 2)), phi_parameters=0)  # fmt: skip


def affine(slope: float = 2.0) -> TaskMap:
    """f_i(w) = s w + y_i with one slope for all tasks.

    Args:
        slope: s, not 0.
    """
    return _scalar("affine", np.array(slope, dtype=np.float64), float(slope))


def per_task(slopes: ArrayLike | None = None, *, seed: int = 0) -> TaskMap:
    """f_i(w) = s_i w + y_i with a slope for each task.

    Args:
        slopes: s_i, shape ``(T,)``, none of them 0; drawn from 0.5 to 2 with random signs if None.
        seed: of those draws.
    """
    if slopes is not None:
        return _scalar("per-task", np.asarray(slopes, dtype=np.float64), None)
    return _scalar("per-task", None, None, seed)


def _scalar(name: str, slopes: Floats | None, slope: float | None, seed: int = 0) -> TaskMap:
    if slopes is not None and not (np.isfinite(slopes) & (slopes != 0)).all():
        raise InputError(f"{name} map with slopes {slopes}", expected="finite numbers other than 0",
                         fix=arg("slope", 2.0))  # fmt: skip

    def parameters(y: Floats) -> Floats:
        s = _random_slopes(seed, (len(y),)) if slopes is None else slopes
        return np.hstack([_of_shape(name, s, (len(y),))[:, None], y])

    def constants(theta: Floats) -> Floats:
        s = np.abs(theta[:, 0])
        return np.stack([s, 1 / s], axis=1)

    return TaskMap(name, vector_function(_scale), vector_function(_unscale), parameters, "scalar", slope,
                   lambda theta: theta[:, 0], lipschitz=constants, phi_parameters=1)  # fmt: skip


def diagonal(entries: ArrayLike | None = None, *, seed: int = 0) -> TaskMap:
    """f_i(w) = d_i * w + y_i, entry by entry.

    Args:
        entries: d_i, shape ``(T, M)`` or anything that broadcasts to it, none of them 0; drawn from 0.5 to 2
            with random signs if None.
        seed: of those draws.
    """
    d = None if entries is None else np.asarray(entries, dtype=np.float64)
    if d is not None and not (np.isfinite(d) & (d != 0)).all():
        raise InputError(
            "a diagonal map with an entry that is 0 or not finite",
            expected="finite numbers other than 0",
            fix="replace zeros: it would be singular",
        )

    def parameters(y: Floats) -> Floats:
        stretch = _random_slopes(seed, y.shape) if d is None else d
        return np.hstack([_of_shape("diagonal", stretch, y.shape), y])

    def constants(theta: Floats) -> Floats:
        size = np.abs(theta[:, : theta.shape[1] // 2])
        return np.stack([size.max(1), 1 / size.min(1)], axis=1)

    return TaskMap("diagonal", vector_function(_stretch), vector_function(_unstretch), parameters, "affine",
                   lipschitz=constants)  # fmt: skip


def orthogonal(*, seed: int = 0) -> TaskMap:
    """f_i(w) = Q_i w + y_i with rotations Q_i drawn uniformly (Haar measure).

    Args:
        seed: of the draw.
    """

    def parameters(y: Floats) -> Floats:
        tasks, size = y.shape
        Q, R = np.linalg.qr(np.random.default_rng(seed).normal(size=(tasks, size, size)))
        # Signs by the diagonal of R make the draw uniform; the last column makes it a rotation.
        Q = Q * np.sign(np.diagonal(R, axis1=1, axis2=2))[:, None, :]
        Q[:, :, -1] *= np.linalg.det(Q)[:, None]
        return np.hstack([Q.transpose(0, 2, 1).reshape(tasks, -1), Q.reshape(tasks, -1), y])

    return TaskMap(
        "orthogonal", vector_function(_multiply), vector_function(_solve), parameters, "conformal",
        slopes=lambda theta: np.ones(len(theta)), lipschitz=lambda theta: np.ones((len(theta), 2)),
    )  # fmt: skip


def linear(matrices: ArrayLike | None = None, *, condition: float = 10.0, seed: int = 0) -> TaskMap:
    """f_i(w) = A_i w + y_i for any invertible matrices.

    The condition number of A_i is the product of the two constants that ``lipschitz`` gives; runs state the
    largest one.

    Args:
        matrices: A_i, shape ``(T, M, M)`` or ``(M, M)`` for all tasks; if None drawn with random singular
            vectors and singular values spread evenly (in logarithm) around 1.
        condition: condition number of those draws, at least 1.
        seed: of those draws.

    Raises:
        InputError: for matrices that are singular to working precision, with the task and the condition
            number.
    """
    given = None if matrices is None else np.asarray(matrices, dtype=np.float64)
    if given is not None:
        if given.ndim not in (2, 3) or given.shape[-1] != given.shape[-2] or not np.isfinite(given).all():
            raise InputError(f"matrices of shape {given.shape}", expected="finite, (T, M, M) or (M, M)",
                             fix="matrices=np.eye(M)")  # fmt: skip
        _refuse_singular(given)
    if not condition >= 1:
        raise InputError(arg("condition", condition), expected="at least 1", fix=arg("condition", 10))

    def parameters(y: Floats) -> Floats:
        tasks, size = y.shape
        if given is None:
            rng = np.random.default_rng(seed)
            left, right = np.linalg.qr(rng.normal(size=(2, tasks, size, size)))[0]
            A = (left * condition ** np.linspace(-0.5, 0.5, size)) @ right if size > 1 else left
        else:
            A = _of_shape("linear", given, (tasks, size, size))
        columns = [B.transpose(0, 2, 1).reshape(tasks, -1) for B in (A, np.linalg.inv(A))]
        return np.hstack([*columns, y])

    def constants(theta: Floats) -> Floats:
        size = round((np.sqrt(1 + 8 * theta.shape[1]) - 1) / 4)  # p = 2 M^2 + M
        values = np.linalg.svd(theta[:, : size * size].reshape(-1, size, size), compute_uv=False)
        return np.stack([values[:, 0], 1 / values[:, -1]], axis=1)

    return TaskMap("linear", vector_function(_multiply), vector_function(_solve), parameters, "affine",
                   lipschitz=constants)  # fmt: skip


def _refuse_singular(matrices: Floats) -> None:
    values = np.linalg.svd(matrices.reshape(-1, *matrices.shape[-2:]), compute_uv=False)
    with np.errstate(divide="ignore", invalid="ignore"):
        numbers = np.nan_to_num(values[:, 0] / values[:, -1], nan=np.inf)
    worst = int(numbers.argmax())
    if numbers[worst] > 0.01 / np.finfo(np.float64).eps:
        raise InputError(
            f"the matrix of task {worst} is singular (condition number {numbers[worst]:.3g})",
            expected="invertible matrices",
            fix="raise its smallest singular value: A + 1e-3 * np.eye(M)",
        )


def _random_slopes(seed: int, shape: tuple[int, ...]) -> Floats:
    rng = np.random.default_rng(seed)
    return np.exp2(rng.uniform(-1, 1, shape)) * rng.choice([-1.0, 1.0], shape)


def _of_shape(name: str, values: Floats, shape: tuple[int, ...]) -> Floats:
    try:
        return np.broadcast_to(values, shape)
    except ValueError:
        raise InputError(f"parameters of map {name!r} have shape {values.shape}", expected=f"{shape}",
                         fix=f"give {name} parameters of shape {shape}") from None  # fmt: skip
