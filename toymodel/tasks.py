"""Tasks of the toy model: data points, targets and the initial weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toymodel.base.errors import InputError
from toymodel.base.numbers import whole
from toymodel.base.words import arg

__all__ = ["NOISES", "Tasks", "episode_noise", "random_tasks"]

NOISES = ("mask", "replace", "gaussian")


@dataclass(frozen=True, eq=False)
class Tasks:
    """T tasks and the weights they start from.

    Attributes:
        x: data points, shape ``(T, N)``.
        y: targets, shape ``(T, M)`` (unused by the identity map).
        P: initial slow weights, shape ``(M, N)``.
        w: initial fast weights, shape ``(M,)``.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    P: NDArray[np.float64]
    w: NDArray[np.float64]

    def __post_init__(self) -> None:
        for name in ("x", "y", "P", "w"):
            given = np.asarray(getattr(self, name))
            if given.dtype.kind not in "fiub":
                raise InputError(f"{name} of dtype {given.dtype}", expected="real numbers",
                                 fix=f"{name}.astype(float)")  # fmt: skip
            object.__setattr__(self, name, np.ascontiguousarray(given, dtype=np.float64))
        if self.x.ndim != 2 or len(self.x) < 2:
            raise InputError(
                f"data x of shape {self.x.shape}",
                expected="(T, N) with at least 2 tasks",
                fix=arg("tasks", 25),
            )
        if self.w.ndim != 1:
            raise InputError(f"fast weights w of shape {self.w.shape}", expected="(M,)", fix="w.ravel()")
        (T, N), M = self.x.shape, len(self.w)
        for name, shape in (("y", (T, M)), ("P", (M, N))):
            found = getattr(self, name).shape
            if found != shape:
                raise InputError(
                    f"{name} of shape {found}",
                    expected=f"{shape} for T={T}, N={N}, M={M}",
                    fix=f"reshape {name} to {shape}",
                )
        for name in ("x", "y", "P", "w"):
            if not np.isfinite(getattr(self, name)).all():
                raise InputError(
                    f"{name} has NaN or infinite entries", expected="finite numbers", fix=f"check {name}"
                )
        if not (np.square(self.x).sum(1) > 0).all():
            raise InputError("a data point of length 0", expected="||x_i|| > 0", fix="remove that task")

    @property
    def gram(self) -> NDArray[np.float64]:
        """G = X^T X in the paper's columns, shape ``(T, T)``."""
        return self.x @ self.x.T


def random_tasks(
    tasks: int = 25,
    dimension: int = 100,
    embedding: int | None = None,
    *,
    seed: int = 0,
    target: str = "uniform",
) -> Tasks:
    """Tasks with the paper's initial distributions (appendix A.3).

    x, w ~ U(-1, 1) and P ~ N(0, 1/N^2); y ~ U(-1, 1), or N(0, 1) with ``target="normal"``, which is what the
    axis of the paper's Fig. 10b suggests.

    Args:
        tasks: T.
        dimension: N.
        embedding: M; N if None.
        seed: of NumPy's default generator.
        target: ``"uniform"`` or ``"normal"``.
    """
    tasks, dimension = whole("tasks", tasks, least=2, fix=25), whole("dimension", dimension, least=1, fix=100)
    M = dimension if embedding is None else whole("embedding", embedding, least=1, fix=100)
    if target not in ("uniform", "normal"):
        raise InputError(
            arg("target", target), expected="'uniform' or 'normal'", fix=arg("target", "uniform")
        )
    rng = np.random.default_rng(whole("seed", seed, least=0, fix=0))
    x = rng.uniform(-1, 1, (tasks, dimension))
    w = rng.uniform(-1, 1, M)
    P = rng.normal(0, 1 / dimension, (M, dimension))
    y = rng.uniform(-1, 1, (tasks, M)) if target == "uniform" else rng.normal(0, 1, (tasks, M))
    return Tasks(x, y, P, w)


def episode_noise(
    tasks: Tasks, order: ArrayLike, kind: str = "mask", level: float = 0.1, *, seed: int = 0
) -> NDArray[np.float64]:
    """What differs about x in every episode: the toy of the paper's masking and window shifts (Fig. 4).

    Args:
        tasks: whose data are disturbed.
        order: task of each episode, shape ``(E, T)``.
        kind: ``mask``, entries set to 0 with probability `level`; ``replace``, entries drawn anew from
            U(-1, 1) with that probability, as a shifted window loses some content and gains other;
            ``gaussian``, N(0, level^2) added.
        level: 0 or more, at most 1 for probabilities.
        seed: of the draws.

    Returns:
        To be added to x_i, shape ``(E, T, N)``; the `noise` of `simulate`.
    """
    if kind not in NOISES:
        raise InputError(
            f"noise kind {kind!r}", expected="one of " + ", ".join(NOISES), fix=arg("kind", "mask")
        )
    if not 0 <= level < np.inf or (kind != "gaussian" and level > 1):
        raise InputError(
            arg("level", level), expected="0 or more, a probability up to 1", fix=arg("level", 0.1)
        )
    rng = np.random.default_rng(whole("seed", seed, least=0, fix=0))
    x = tasks.x[np.asarray(order)]
    if kind == "gaussian":
        return rng.normal(0, level, x.shape)
    hit = rng.random(x.shape) < level
    return np.where(hit, (rng.uniform(-1, 1, x.shape) if kind == "replace" else 0.0) - x, 0.0)
