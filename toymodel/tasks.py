"""Tasks of the toy model: data points, targets and the initial weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toymodel.errors import InputError

__all__ = ["Tasks", "random_tasks"]


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
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), dtype=np.float64))
        if self.x.ndim != 2 or len(self.x) < 2:
            raise InputError(
                f"data x of shape {self.x.shape}", expected="(T, N) with at least 2 tasks", fix="tasks=25"
            )
        if self.w.ndim != 1:
            raise InputError(f"fast weights w of shape {self.w.shape}", expected="(M,)", fix="w.ravel()")
        (T, N), M = self.x.shape, len(self.w)
        for name, shape in (("y", (T, M)), ("P", (M, N))):
            found = getattr(self, name).shape
            if found != shape:
                raise InputError(f"{name} of shape {found}", expected=f"{shape} for T={T}, N={N}, M={M}",
                                 fix=f"reshape {name} to {shape}")  # fmt: skip
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
    if tasks < 2:
        raise InputError(f"tasks={tasks}", expected="at least 2", fix="tasks=25")
    if dimension < 1 or (embedding is not None and embedding < 1):
        raise InputError(
            f"dimension={dimension}, embedding={embedding}", expected="at least 1", fix="dimension=100"
        )
    if target not in ("uniform", "normal"):
        raise InputError(f"target={target!r}", expected="'uniform' or 'normal'", fix="target='uniform'")
    rng = np.random.default_rng(seed)
    M = embedding or dimension
    x = rng.uniform(-1, 1, (tasks, dimension))
    w = rng.uniform(-1, 1, M)
    P = rng.normal(0, 1 / dimension, (M, dimension))
    y = rng.uniform(-1, 1, (tasks, M)) if target == "uniform" else rng.normal(0, 1, (tasks, M))
    return Tasks(x, y, P, w)
