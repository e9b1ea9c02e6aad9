"""The loss matrix: the loss of every task before training and after every episode."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toymodel.base.arrays import Arrays, load_arrays, save_arrays
from toymodel.base.errors import InputError
from toymodel.base.files import check_suffix
from toymodel.base.json_file import plain_object
from toymodel.base.memory import refuse_if_too_large
from toymodel.base.notebook import Shown
from toymodel.base.numbers import whole
from toymodel.base.words import either, one_line
from toymodel.measures.loss_checks import check_order, check_settings, check_shape, check_values, numbers
from toymodel.measures.loss_table import read_table

__all__ = ["LossMatrix", "cyclic_order", "read_losses", "takes_losses"]

# Files that hold losses in some other form, and are not damaged for that.
_OTHER_KINDS = (".txt", ".dat", ".json", ".jsonl", ".xlsx", ".parquet", ".mat", ".pt", ".pkl")

Function = TypeVar("Function", bound=Callable[..., Any])


def cyclic_order(tasks: int, epochs: int) -> NDArray[np.int64]:
    """The paper's schedule: tasks 0..T-1 in the same sequence in every epoch; shape ``(E, T)``."""
    count, length = whole("tasks", tasks, least=1, fix=25), whole("epochs", epochs, least=1)
    refuse_if_too_large(8 * count * length, f"an order of {length} epochs", "fewer epochs")
    return np.tile(np.arange(count, dtype=np.int64), (length, 1))


@dataclass(frozen=True, eq=False)
class LossMatrix(Shown):
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
        values = np.ascontiguousarray(numbers(self.values, "a loss matrix"), dtype=np.float64)
        check_shape(values)
        check_values(values)
        order = np.ascontiguousarray(numbers(self.order, "an order"))
        check_order(order, values.shape[0], values.shape[1])
        values.flags.writeable = False
        order = order.astype(np.int64)
        order.flags.writeable = False
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "order", order)
        object.__setattr__(self, "meta", dict(self.meta))

    def __repr__(self) -> str:
        size = f"{self.tasks} tasks, {self.epochs} epoch{'s' * (self.epochs > 1)}"
        return f"LossMatrix({size}, losses {self.values.min():.3g} to {self.values.max():.3g})"

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
        array = np.array(numbers(values, "a loss matrix"), dtype=np.float64)
        check_shape(array)
        tasks = array.shape[1]
        if order is None:
            order = cyclic_order(tasks, (array.shape[0] - 1) // tasks)
        return cls(array, numbers(order, "an order"), dict(meta or {}))

    @classmethod
    def mean(cls, matrices: Sequence[LossMatrix]) -> LossMatrix:
        """Entry by entry over seeds of one experiment.

        Args:
            matrices: at least one; all of one order.

        Raises:
            InputError: for none, and when an order differs, since entries would then mean different things.
        """
        if not matrices or not all(isinstance(one, LossMatrix) for one in matrices):
            kinds = ", ".join(sorted({type(one).__name__ for one in matrices})) or "nothing"
            raise InputError(f"the mean of {kinds}", expected="one LossMatrix or more",
                             fix="LossMatrix.mean([run.losses for run in runs])")  # fmt: skip
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
        count = whole("epochs", epochs, fix=self.epochs)
        if not 1 <= count <= self.epochs:
            raise InputError(
                f"first_epochs({epochs}) of a run with {self.epochs} epochs",
                expected=f"a number from 1 to {self.epochs}",
                fix=f"ask for first_epochs({self.epochs})",
            )
        return LossMatrix(self.values[: 1 + count * self.tasks], self.order[:count], self.meta)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write ``.npz`` with keys ``losses``, ``order`` and ``meta`` (JSON text) and a checksum.

        The file appears whole or not at all.

        Raises:
            InputError: for a name that does not end in ``.npz``.
        """
        check_suffix(path, (".npz",), name="path")
        save_arrays(path, self.to_arrays())

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """What `save` writes, by key."""
        return {"losses": self.values, "order": self.order, "meta": np.array(json.dumps(self.meta))}

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> LossMatrix:
        """Read any form a loss matrix comes in (`read_losses`).

        Raises:
            InputError: when the file is missing, damaged or holds no loss matrix.
        """
        return cls.from_values(*read_losses(path))


def read_losses(
    path: str | os.PathLike[str],
) -> tuple[NDArray[Any], NDArray[Any] | None, dict[str, Any]]:
    """Losses, order (None for the cyclic one) and meta as a file has them, not yet checked.

    Accepted: this package's ``.npz``, a run folder that holds ``losses.npz``, the authors' ``*_results.npz``
    (key ``eval_losses_ckpt``), a bare ``.npy``, an ``.npz`` of one array, and a ``.csv`` (`read_table`).
    Pickled objects are refused, and where there is a checksum it must agree.

    Raises:
        InputError: when the file is missing, damaged or holds no losses.
    """
    where = Path(path)
    if where.is_dir():
        inside = where / "losses.npz"
        if not inside.is_file():
            raise InputError(
                f"run folder {str(where)!r} holds no losses.npz",
                expected="a run folder with at least one finished episode",
                fix="start or resume it: "
                + either(f"llm.run(config, {str(where)!r})", f"reawaken llm run --out {where}"),
            )
        losses, order, meta = read_losses(inside)
        check_settings(where / "config.json", meta)
        return losses, order, meta
    if not where.is_file():
        raise InputError(
            f"there is no file or run folder {str(where)!r}",
            expected="a run folder, or a loss matrix as .npz, .npy or .csv",
            fix="check the path, or make a run: "
            + either("llm.run(llm.preset('embedded'), 'runs/first')", "reawaken llm run --out runs/first"),
        )
    source = {"source": where.name}
    if where.suffix.lower() in (".csv", ".tsv"):
        return read_table(where), None, source
    if where.suffix.lower() in _OTHER_KINDS:
        raise InputError(
            f"a loss matrix from {where.name!r}",
            expected="a run folder, .npz, .npy or .csv",
            fix=f"np.savetxt({where.stem + '.csv'!r}, values, delimiter=',')",
        )
    arrays = load_arrays(where)
    if "losses" in arrays:
        _refuse_incomplete(where, arrays)
        meta = _meta(where, arrays["meta"]) if "meta" in arrays else source
        return arrays["losses"], arrays.get("order"), meta
    if "eval_losses_ckpt" in arrays:
        return arrays["eval_losses_ckpt"], None, source
    if len(arrays) == 1 and not arrays.sealed:
        return next(iter(arrays.values())), None, source
    raise InputError(
        f"{str(where)!r} has keys {', '.join(arrays) or 'none'}",
        expected="'losses' (this package), 'eval_losses_ckpt' (the authors' program), or one array",
        fix="save the losses alone: np.savez(path, losses=values)",
    )


def takes_losses(function: Function) -> Function:
    """Decorates a measure of a loss matrix: anything else is refused with what makes a loss matrix of it."""

    @functools.wraps(function)
    def checked(losses: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(losses, LossMatrix):
            kind, fix = type(losses).__name__, "LossMatrix.from_values(losses)"
            if isinstance(losses, str | os.PathLike):
                fix = "LossMatrix.load(losses)"
            elif isinstance(getattr(losses, "losses", None), LossMatrix):
                fix = f"the {kind}'s .losses"
            raise InputError(f"{function.__name__} of a {kind}", expected="a LossMatrix", fix=fix)
        return function(losses, *args, **kwargs)

    return cast(Function, checked)


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
        return plain_object(str(text))
    except ValueError as error:
        raise InputError(
            f"the meta of {str(where)!r} cannot be read ({one_line(error, 120)})",
            expected="the text of a JSON object",
            fix="save it with LossMatrix.from_values(values, order, meta).save(path)",
        ) from error
