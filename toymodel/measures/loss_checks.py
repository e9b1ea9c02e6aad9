"""What no loss matrix can be, refused in one line with a fix for just this input."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toymodel.base.errors import InputError
from toymodel.base.json_file import read_json
from toymodel.base.words import arg, either, one_line

__all__ = ["check_order", "check_settings", "check_shape", "check_values", "numbers"]


def numbers(values: Any, what: str) -> NDArray[Any]:
    """As an array of real numbers, whatever shape it has.

    Args:
        values: an array, or nested lists of one length.
        what: how the message calls it.

    Raises:
        InputError: for rows of different lengths, text, objects, complex numbers, truth values, masked
            entries, and tensors that NumPy does not take.
    """
    if np.ma.is_masked(values):
        raise InputError(
            f"{what} with {np.ma.count_masked(values)} masked entries",
            expected="a number in every place: NumPy would take what lies under the mask",
            fix="fit(values.filled(values.mean()), observed=~values.mask)",
        )
    try:
        array = np.asarray(values)
    except (TypeError, RuntimeError) as error:  # a tensor that is tracked, elsewhere, or of bfloat16
        raise InputError(
            f"{what} given as {_type(values)} ({one_line(error, 120)})",
            expected="an array",
            fix="pass values.detach().cpu().double().numpy()",
        ) from error
    except ValueError as error:  # rows of different lengths
        raise InputError(
            f"{what} that is no array ({one_line(error, 120)})",
            expected="rows of one length",
            fix="pass a two-dimensional array of numbers",
        ) from error
    kind = array.dtype.kind
    if kind not in "iuf":
        fix = {
            "c": "pass values.real, if the imaginary part means nothing",
            "b": "pass the losses themselves, not which of them are known",
        }.get(kind) or ("pass values.astype(float)" if _would_be_numbers(array) else "pass numbers")
        raise InputError(
            f"{what} of type {array.dtype}" if array.dtype != object else f"{what} given as {_type(values)}",
            expected="real numbers",
            fix=fix,
        )
    return array


def _would_be_numbers(array: NDArray[Any]) -> bool:
    try:
        return bool(np.isfinite(array.astype(np.float64)).any())
    except (ValueError, TypeError):
        return False


def _type(values: Any) -> str:
    return f"a {type(values).__name__}" if not isinstance(values, np.ndarray) else "an array of objects"


def check_settings(file: Path, meta: Mapping[str, Any]) -> None:
    """That the settings which lie beside losses are those that the losses were made with.

    Args:
        file: a run's ``config.json``, which need not be there.
        meta: of its losses, with the settings of their run under ``config`` if they know them.
    """
    made = meta.get("config")
    if not isinstance(made, dict) or not file.is_file():
        return
    fix = f"copy {file.parent.name} again from where it was made"
    written = read_json(file, fix=fix)
    for name in sorted(written.keys() & made.keys()):  # a later version may have settings of its own
        mine, theirs = (json.dumps(settings[name])[:60] for settings in (written, made))
        if mine != theirs:
            raise InputError(
                f"run folder {str(file.parent)!r} holds files of different runs: its {name} is {theirs} by "
                f"losses.npz and {mine} by {file.name}",
                expected="the files that one run wrote",
                fix=fix,
            )


def check_shape(values: NDArray[np.float64]) -> None:
    """Refuse a shape other than ``(1 + E*T, T)``, and say which of the usual slips it looks like."""
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
            fix="train on 2 or more documents: " + arg("num_documents", 2),
        )
    epochs, over = divmod(rows - 1, tasks)
    if epochs >= 1 and not over:
        return
    what = f"a loss matrix of {rows} rows for {tasks} tasks (columns)"
    if rows >= 2 and tasks > rows and (tasks - 1) % rows == 0:
        raise InputError(
            f"{what} is transposed, or was evaluated once an epoch",
            expected=f"a row for every evaluation: {tasks} rows if there are {rows} tasks, "
            f"1 + E*{tasks} if {tasks}",
            fix="pass values.T if columns are evaluations; evaluate after every episode if they are "
            f"{tasks} tasks",
        )
    if rows >= 2 and tasks > rows and tasks % rows == 0:
        raise InputError(
            f"{what} is transposed, and lacks the losses before training",
            expected=f"{1 + tasks} rows for {rows} tasks",
            fix="evaluate all tasks once before training: np.vstack([before, values.T])",
        )
    if rows % tasks == 0:
        raise InputError(
            f"{what} lacks the row before training",
            expected=f"{1 + rows} rows: one before training, then one after each of {rows} episodes",
            fix="evaluate all tasks once before training: np.vstack([before, values])",
        )
    whole = f"{1 + max(epochs, 1) * tasks} or {1 + (max(epochs, 1) + 1) * tasks}"
    if epochs < 1:
        raise InputError(
            f"{what} does not hold one epoch",
            expected=f"1 + E*T rows: {whole}, ...",
            fix="train every task at least once, and evaluate all of them after each",
        )
    raise InputError(
        f"{what}: {epochs} whole epochs and {over} of the {tasks} episodes of another",
        expected=f"1 + E*T rows: {whole}",
        fix="let the run finish its last epoch, or check that rows are evaluations and columns tasks",
    )


def check_values(values: NDArray[np.float64]) -> None:
    """Refuse losses that are no finite numbers, by their place."""
    bad = np.argwhere(~np.isfinite(values))
    if not len(bad):
        return
    row, column = (int(v) for v in bad[0])
    missing = bool(np.isnan(values[row, column]))
    raise InputError(
        f"loss {values[row, column]} of task {column} in row {row} ({len(bad)} such entries)",
        expected="finite losses",
        fix=either("bridge.fit(np.nan_to_num(values), observed=~np.isnan(values))", "reawaken fit --mask-nan")
        + " leaves out what was not measured; a run that diverged needs a lower "
        + arg("lr")
        if missing
        else "the run diverged or the file is damaged: lower " + arg("lr") + " and run it again",
    )


def check_order(order: NDArray[Any], rows: int, tasks: int) -> None:
    """Refuse an order of another shape, or of tasks that there are not."""
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
