"""The loss matrix: the loss of every task before training and after every episode."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toymodel.base.arrays import Arrays, load_arrays, save_arrays
from toymodel.base.errors import InputError
from toymodel.base.files import check_suffix

__all__ = ["LossMatrix", "cyclic_order"]


def cyclic_order(tasks: int, epochs: int) -> NDArray[np.int64]:
    """The paper's schedule: tasks 0..T-1 in the same sequence in every epoch; shape ``(E, T)``."""
    if epochs < 1:
        raise InputError(f"epochs={epochs}", expected="at least 1", fix="epochs=5")
    return np.tile(np.arange(tasks, dtype=np.int64), (epochs, 1))


@dataclass(frozen=True, eq=False)
class LossMatrix:
    """Losses of T tasks through E epochs of T episodes each.

    Attributes:
        values: float64, shape ``(1 + E*T, T)``. Row 0 is before any training, row ``1 + e*T + k`` right
            after the k-th episode of epoch e. Units are those of the loss (nats per token for language).
        order: int64, shape ``(E, T)``: the task trained in each episode.
        meta: anything JSON can hold, carried along.
    """

    values: NDArray[np.float64]
    order: NDArray[np.int64]
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        values = np.ascontiguousarray(_real(self.values))
        _check_values(values)
        order = np.ascontiguousarray(_array(self.order, "an order"))
        _check_order(order, values.shape[0], values.shape[1])
        values.flags.writeable = False
        order = order.astype(np.int64)
        order.flags.writeable = False
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "order", order)
        object.__setattr__(self, "meta", dict(self.meta))

    @classmethod
    def from_values(
        cls, values: ArrayLike, order: ArrayLike | None = None, meta: Mapping[str, Any] | None = None
    ) -> LossMatrix:
        """Build from an array alone; without `order` the paper's cyclic schedule is assumed.

        Args:
            values: losses, shape ``(1 + E*T, T)``.
            order: tasks trained, shape ``(E, T)``.
            meta: JSON-compatible mapping.

        Raises:
            InputError: for wrong shapes, NaN or infinite losses, or an order that names unknown tasks.
        """
        array = np.array(_real(values))
        _check_values(array)
        tasks = array.shape[1]
        if order is None:
            order = cyclic_order(tasks, (array.shape[0] - 1) // tasks)
        return cls(array, _array(order, "an order"), dict(meta or {}))

    @classmethod
    def mean(cls, matrices: Sequence[LossMatrix]) -> LossMatrix:
        """Entry by entry over seeds of one experiment.

        Args:
            matrices: at least one; all of one order.

        Raises:
            InputError: when an order differs, since entries would then mean different things.
        """
        first = matrices[0]
        for number, other in enumerate(matrices[1:], start=2):
            if not np.array_equal(other.order, first.order):
                raise InputError(
                    f"loss matrix {number} has {other.tasks} tasks, {other.epochs} epochs and its own order",
                    expected=f"that of the first: {first.tasks} tasks, {first.epochs} epochs, the same order",
                    fix="average seeds of one schedule only",
                )
        return cls(np.mean([m.values for m in matrices], axis=0), first.order, first.meta)

    @property
    def tasks(self) -> int:
        """Number of tasks (documents) T."""
        return int(self.values.shape[1])

    @property
    def epochs(self) -> int:
        """Number of epochs E."""
        return int(self.order.shape[0])

    @property
    def episodes(self) -> int:
        """Number of episodes E*T."""
        return int(self.order.size)

    def first_epochs(self, epochs: int) -> LossMatrix:
        """The same run as it stood after `epochs` epochs."""
        if not 1 <= epochs <= self.epochs:
            raise InputError(
                f"first_epochs({epochs}) of a run with {self.epochs} epochs",
                expected=f"a number from 1 to {self.epochs}",
                fix=f"ask for first_epochs({self.epochs})",
            )
        return LossMatrix(self.values[: 1 + epochs * self.tasks], self.order[:epochs], self.meta)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write ``.npz`` with keys ``losses``, ``order`` and ``meta`` (JSON text) and a checksum.

        The file appears whole or not at all.

        Raises:
            InputError: for a name that does not end in ``.npz``.
        """
        check_suffix(path, (".npz",), flag="save")
        save_arrays(path, self.to_arrays())

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """What `save` writes, by key."""
        return {"losses": self.values, "order": self.order, "meta": np.array(json.dumps(self.meta))}

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> LossMatrix:
        """Read any form a loss matrix comes in.

        Accepted: this package's ``.npz``, a run folder that holds ``losses.npz``, the authors'
        ``*_results.npz`` (key ``eval_losses_ckpt``, cyclic order), and a bare ``.npy`` (cyclic order).
        Pickled objects are refused, and where there is a checksum it must agree.

        Raises:
            InputError: when the file is missing, damaged or holds no loss matrix.
        """
        where = Path(path)
        if where.is_dir():
            inside = where / "losses.npz"
            if not inside.is_file():
                raise InputError(
                    f"run folder {str(where)!r} holds no losses.npz",
                    expected="a run folder with at least one finished episode",
                    fix=f"start or resume it: reawaken llm run --out {where}",
                )
            where = inside
        if not where.is_file():
            raise InputError(
                f"there is no file or run folder {str(where)!r}",
                expected="a run folder, an .npz or an .npy loss matrix",
                fix="check the path, or make a run: reawaken llm run --out runs/first",
            )
        arrays, source = load_arrays(where), {"source": where.name}
        if "losses" in arrays:
            _refuse_incomplete(where, arrays)
            meta = _meta(where, arrays["meta"]) if "meta" in arrays else source
            return cls.from_values(arrays["losses"], arrays.get("order"), meta)
        if "eval_losses_ckpt" in arrays:
            return cls.from_values(arrays["eval_losses_ckpt"], meta=source)
        raise InputError(
            f"{str(where)!r} has keys {list(arrays)}",
            expected="'losses' (this package) or 'eval_losses_ckpt' (the authors' program)",
            fix="save it with LossMatrix.from_values(values).save(path)",
        )


def _refuse_incomplete(where: Path, arrays: Arrays) -> None:
    """Losses alone are somebody's own, in cyclic order; beside anything else the order must be there."""
    if "order" not in arrays and (arrays.sealed or len(arrays) > 1):
        raise InputError(
            f"{str(where)!r} has losses but no order (its keys are {', '.join(arrays)})",
            expected="'order', the task trained in each episode, beside 'losses'",
            fix="copy it again, or save it with LossMatrix.from_values(values, order).save(path)",
        )


def _meta(where: Path, text: NDArray[Any]) -> dict[str, Any]:
    try:
        meta = json.loads(str(text))
        if not isinstance(meta, dict):
            raise ValueError(f"a JSON {type(meta).__name__}, not an object")
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"the meta of {str(where)!r} cannot be read ({' '.join(str(error).split())[:120]})",
            expected="the text of a JSON object",
            fix="save it with LossMatrix.from_values(values, order, meta).save(path)",
        ) from error
    return meta


def _array(values: Any, what: str) -> NDArray[Any]:
    """As an array of numbers, whatever shape it has."""
    try:
        array = np.asarray(values)
    except ValueError as error:  # rows of different lengths
        raise InputError(
            f"{what} that is no array ({' '.join(str(error).split())[:120]})",
            expected="rows of one length",
            fix="pass a two-dimensional array of numbers",
        ) from error
    if array.dtype.kind not in "biuf":
        raise InputError(
            f"{what} of type {array.dtype}" if array.dtype != object else f"{what} given as {_type(values)}",
            expected="real numbers",
            fix="pass values.astype(float), or values.real where that is meant",
        )
    return array


def _real(values: Any) -> NDArray[np.float64]:
    return _array(values, "a loss matrix").astype(np.float64, copy=False)


def _type(values: Any) -> str:
    return f"a {type(values).__name__}" if not isinstance(values, np.ndarray) else "an array of objects"


def _check_values(values: NDArray[np.float64]) -> None:
    if values.ndim != 2:
        raise InputError(
            f"a loss matrix of shape {values.shape}",
            expected="two dimensions (1 + E*T, T)",
            fix="pass one row per evaluation and one column per task",
        )
    rows, tasks = values.shape
    if tasks < 2:
        raise InputError(
            f"a loss matrix of {tasks} task(s)",
            expected="at least 2 tasks (columns)",
            fix="train on 2 or more documents: --num-documents 2",
        )
    if rows < 1 + tasks or (rows - 1) % tasks:
        raise InputError(
            f"a loss matrix of {rows} rows for {tasks} tasks",
            expected=f"1 + E*T rows: {1 + tasks}, {1 + 2 * tasks}, {1 + 3 * tasks}, ...",
            fix="keep the row before training and whole epochs only: "
            f"values[:{1 + max(1, (rows - 1) // tasks) * tasks}]",
        )
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, column = (int(v) for v in bad[0])
        raise InputError(
            f"loss {values[row, column]} of task {column} in row {row} ({len(bad)} such entries)",
            expected="finite losses",
            fix="the run diverged or the file is damaged: lower --lr and run it again",
        )


def _check_order(order: NDArray[Any], rows: int, tasks: int) -> None:
    epochs = (rows - 1) // tasks
    if order.shape != (epochs, tasks):
        raise InputError(
            f"an order of shape {order.shape} for {rows} rows and {tasks} tasks",
            expected=f"shape {(epochs, tasks)}: the task trained in each episode",
            fix=f"order = cyclic_order({tasks}, {epochs})",
        )
    if not np.issubdtype(order.dtype, np.integer) or order.min() < 0 or order.max() >= tasks:
        raise InputError(
            f"an order of {order.dtype} with entries from {order.min()} to {order.max()}",
            expected=f"integers from 0 to {tasks - 1}",
            fix=f"number the tasks from 0: order = cyclic_order({tasks}, {epochs})",
        )
