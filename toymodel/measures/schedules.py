"""Schedules: which task each episode trains. NumPy alone, so that the network side takes the same functions.

Every schedule is int64 of shape ``(E, T)``, T episodes to the epoch, tasks numbered from 0. Where an epoch is
drawn at random, epochs are drawn one after another from one generator: a longer run with the same seed begins
with the shorter run's epochs. An order of one's own comes as an array or from a file (`load_order`); tasks
may be absent from an epoch or come twice.
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toymodel.base.arrays import only_array
from toymodel.base.errors import InputError
from toymodel.base.numbers import whole
from toymodel.base.words import arg, nearest, one_line
from toymodel.measures.losses import cyclic_order

__all__ = ["SCHEDULES", "each_once", "load_order", "options_of", "period", "schedule"]

Order = NDArray[np.int64]


def cyclic(tasks: int, epochs: int, rng: np.random.Generator) -> Order:
    """The paper's schedule: tasks 0..T-1 in the same sequence in every epoch (section 2)."""
    return cyclic_order(tasks, epochs)


def shuffled_once(tasks: int, epochs: int, rng: np.random.Generator) -> Order:
    """One random permutation, the same in every epoch: cyclic training of tasks in an order of its own."""
    return np.tile(rng.permutation(tasks).astype(np.int64), (epochs, 1))


def reshuffled(tasks: int, epochs: int, rng: np.random.Generator) -> Order:
    """A new random permutation in every epoch: a control, no sequence for the model to learn."""
    return np.array([rng.permutation(tasks) for _ in range(epochs)], dtype=np.int64)


def iid(tasks: int, epochs: int, rng: np.random.Generator) -> Order:
    """Every episode draws its task independently (a control); an epoch may repeat tasks and miss others."""
    return np.array([rng.integers(0, tasks, tasks) for _ in range(epochs)], dtype=np.int64)


def middle_shuffled(
    tasks: int, epochs: int, rng: np.random.Generator, *, until: int | None = None, start: int = 0
) -> Order:
    """Tasks 2..N (the paper's numbers, counted from 1) reshuffled in every epoch, the others fixed (Fig. 12).

    Args:
        tasks: T.
        epochs: E.
        rng: where the shuffles come from.
        until: N, the last task that is shuffled; T - 1 if None, so that only the first and the last task
            stay (the paper draws N = 8, 16 and 24 at T = 25).
        start: epochs before this one are left cyclic.
    """
    last = tasks - 1 if until is None else whole("until", until)
    if not 1 <= last <= tasks:
        raise InputError(
            arg("until", last) + f" for {tasks} tasks",
            expected=f"a task number from 1 to {tasks}",
            fix=arg("until", max(1, tasks - 1)),
        )
    order = cyclic_order(tasks, epochs)
    for epoch in range(_epoch("start", start, epochs), epochs):
        order[epoch, 1:last] = 1 + rng.permutation(last - 1)
    return order


def locally_reversed(
    tasks: int, epochs: int, rng: np.random.Generator, *, block: int = 2, start: int = -1
) -> Order:
    """Cyclic, then neighbours in reverse, to ask if i+1 primes i as i primes i+1 (paper section 4).

    Args:
        tasks: T.
        epochs: E.
        rng: unused; the schedule is not random.
        block: tasks per reversed stretch; the sequence of stretches stays. 2 swaps neighbours (1 0 3 2 ...),
            T reverses the whole epoch. A last stretch that is shorter is reversed as well.
        start: first epoch in reverse, negative counted from the end; -1 reverses only the last epoch, after
            cyclic training up to it.
    """
    length = whole("block", block)
    if not 1 <= length <= tasks:
        raise InputError(
            arg("block", block) + f" for {tasks} tasks",
            expected=f"a number from 1 to {tasks}",
            fix=arg("block", 2),
        )
    order = cyclic_order(tasks, epochs)
    stretches = np.split(np.arange(tasks), range(length, tasks, length))
    order[_epoch("start", start, epochs) :] = np.concatenate([stretch[::-1] for stretch in stretches])
    return order


def palindrome(tasks: int, epochs: int, rng: np.random.Generator) -> Order:
    """Forward, backward, forward, ...: no direction of its own, so that nothing turns (docs/theory.md, 11).

    Where the direction changes, one task is trained twice in a row.
    """
    if epochs < 2:
        raise InputError(f"a palindrome of {epochs} epoch", expected="2 or more: forward, then backward",
                         fix=arg("epochs", 2))  # fmt: skip
    order = cyclic_order(tasks, epochs)
    order[1::2] = order[1::2, ::-1]
    return order


def spaced(
    tasks: int, epochs: int, rng: np.random.Generator, *, every: int = 2, part: int | None = None
) -> Order:
    """Cyclic, but one task in three comes every second epoch only, and its neighbour twice in the other.

    Of each group of `part` tasks the first is absent but for every `every`-th epoch, and in its place the
    second is trained twice in a row; the others stay as they are. So tasks return after T and after 2 T
    episodes in one and the same run.

    Args:
        tasks: T.
        epochs: E.
        rng: unused; the schedule is not random.
        every: epochs from one visit of a spaced task to the next.
        part: tasks to a group, 2 or more; 3 if None. The last group may be smaller, and is left cyclic.
    """
    apart, length = whole("every", every), min(3, tasks) if part is None else whole("part", part)
    if apart < 2:
        raise InputError(arg("every", apart), expected="2 epochs or more", fix=arg("every", 2))
    if not 2 <= length <= tasks:
        raise InputError(
            arg("part", length) + f" for {tasks} tasks", expected=f"from 2 to {tasks}", fix=arg("part", 2)
        )
    order = cyclic_order(tasks, epochs)
    absent = np.arange(0, tasks - length + 1, length)
    for epoch in range(epochs):
        if epoch % apart:
            order[epoch, absent] = absent + 1
    return order


SCHEDULES: dict[str, Callable[..., Order]] = {
    "cyclic": cyclic,
    "shuffled-once": shuffled_once,
    "reshuffled": reshuffled,
    "iid": iid,
    "middle-shuffled": middle_shuffled,
    "locally-reversed": locally_reversed,
    "palindrome": palindrome,
    "spaced": spaced,
}


def options_of(kind: str) -> tuple[str, ...]:
    """What may be set of a schedule in `SCHEDULES`: the keywords of its function."""
    parameters = inspect.signature(SCHEDULES[kind]).parameters.values()
    return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)


def load_order(path: str | os.PathLike[str]) -> NDArray[np.integer[Any]]:
    """An order of one's own from a file: ``.npy``, or ``.json`` as nested lists; for `schedule`.

    Args:
        path: whole numbers of shape ``(T,)``, one epoch that is repeated, or ``(E, T)``. Tasks may be absent
            from an epoch or come twice.

    Raises:
        InputError: for a file that is missing, of another kind, damaged, or holds no such numbers.
    """
    where = Path(path)
    expected = "whole numbers of shape (E, T), as .npy or as .json: [[0, 1, 2], [2, 1, 0]]"
    if where.suffix not in (".npy", ".json"):
        raise InputError(f"an order in {str(where)!r}", expected=f"ending in .npy or .json, {expected}",
                         fix="numpy.save('order.npy', order)")  # fmt: skip
    if not where.is_file():
        raise InputError(f"there is no file {str(where)!r}", expected=expected, fix="check the path")
    array = _lists(where, expected) if where.suffix == ".json" else only_array(where)
    if array.ndim not in (1, 2) or array.dtype.kind not in "iu" or not array.size:
        held, fix = f"{array.dtype} of shape {array.shape}", "numbers of tasks, counted from 0"
        if array.dtype.kind == "f" and array.size and (array == np.rint(array)).all():
            fix = f"order.astype(int), {where.suffix[1:]} again"
        raise InputError(f"{str(where)!r} holds {held}", expected=expected, fix=fix)
    return array


def _lists(where: Path, expected: str) -> NDArray[Any]:
    """Nested lists of a JSON file, of one length in every epoch."""
    try:
        found = json.loads(where.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        why = one_line(error, kind=True)
        raise InputError(f"{str(where)!r} cannot be read ({why})",
                         expected=expected, fix="write it again") from error  # fmt: skip
    if not isinstance(found, list):
        held = "an object" if isinstance(found, dict) else repr(found)[:40]
        raise InputError(f"{str(where)!r} holds {held}",
                         expected=expected, fix="the lists alone: [[0, 1, 2], [2, 1, 0]]")  # fmt: skip
    lengths = sorted({len(row) if isinstance(row, list) else 0 for row in found})
    if len(lengths) > 1:
        raise InputError(f"{str(where)!r} holds epochs of {lengths[0]} to {lengths[-1]} episodes",
                         expected="as many in every epoch: documents may be absent, and others twice",
                         fix="as many tasks in every list")  # fmt: skip
    if any(isinstance(task, bool) for row in found for task in (row if isinstance(row, list) else [row])):
        raise InputError(f"{str(where)!r} holds true or false", expected=expected,
                         fix="numbers of tasks, counted from 0")  # fmt: skip
    try:
        return np.asarray(found)
    except ValueError as error:  # lists of unequal lengths, deeper down
        raise InputError(f"{str(where)!r} holds lists in lists in lists", expected=expected,
                         fix="the lists alone: [[0, 1, 2], [2, 1, 0]]") from error  # fmt: skip


def each_once(order: ArrayLike) -> bool:
    """Whether every epoch trains every task once, so that the n-th visit is that of epoch n.

    Args:
        order: shape ``(E, T)``.
    """
    epochs = np.asarray(order)
    return bool((np.sort(epochs, axis=1) == np.arange(epochs.shape[1])).all())


def period(order: ArrayLike) -> int | None:
    """Epochs after which an order repeats, as far as it goes; None for one that does not.

    1 for a fixed order, 2 for a palindrome (one of two epochs, which has no time to repeat, included).

    Args:
        order: shape ``(E, T)``.
    """
    epochs = np.asarray(order)
    for shift in range(1, len(epochs)):
        if (epochs[shift:] == epochs[:-shift]).all():
            return shift
    if len(epochs) == 1:
        return 1
    return 2 if len(epochs) == 2 and (epochs[1] == epochs[0][::-1]).all() else None


def schedule(kind: str | ArrayLike, tasks: int, epochs: int, seed: int = 0, **options: Any) -> Order:
    """The task trained in each episode.

    Args:
        kind: a name in `SCHEDULES` (underscores for dashes are fine), or an order of your own: one epoch,
            shape ``(T,)``, to be repeated, or all of them, shape ``(E, T)``. It may repeat or miss tasks.
        tasks: T, at least 2.
        epochs: E, at least 1.
        seed: of NumPy's default generator, for the kinds that draw.
        options: those of the kind, e.g. ``until=24`` for ``middle-shuffled`` and ``block=2`` for
            ``locally-reversed``.

    Returns:
        int64, shape ``(E, T)``.

    Raises:
        InputError: for an unknown kind or option (with the nearest known one), or values out of range.
    """
    count, length = whole("tasks", tasks, least=2, fix=25), whole("epochs", epochs, least=1)
    if not isinstance(kind, str):
        if options:
            raise InputError(f"options {sorted(options)} beside an order of your own", expected="no options",
                             fix="leave them out")  # fmt: skip
        return _given(kind, count, length)
    name = kind.replace("_", "-")
    if name not in SCHEDULES:
        raise InputError(f"there is no schedule {kind!r}", expected="one of " + ", ".join(SCHEDULES),
                         fix=f"schedule {nearest(name, SCHEDULES)!r}")  # fmt: skip
    known = options_of(name)
    for option in options:
        if option not in known:
            raise InputError(
                f"schedule {name!r} has no option {option!r}",
                expected="one of " + ", ".join(known) if known else "no options",
                fix=f"{nearest(option, known)}=..." if known else "leave it out",
            )
    try:
        rng = np.random.default_rng(seed)
    except (TypeError, ValueError):
        raise InputError(
            arg("seed", seed), expected="a whole number, 0 or more", fix=arg("seed", 0)
        ) from None
    return SCHEDULES[name](count, length, rng, **options)


def _given(order: ArrayLike, tasks: int, epochs: int) -> Order:
    try:
        array = np.asarray(order)
    except ValueError:  # rows of different lengths
        array = np.empty(0, dtype=object)
    if array.shape not in ((tasks,), (epochs, tasks)) or not np.issubdtype(array.dtype, np.integer):
        fix: str = f"order = list(range({tasks}))"
        if np.issubdtype(array.dtype, np.integer):
            if array.ndim == 2:
                fix = f"{array.shape[1]} tasks and {array.shape[0]} epochs, or another order"
                if array.shape[1] == tasks:
                    fix = arg("epochs", len(array))
            elif array.size == epochs * tasks:
                fix = f"order.reshape{(epochs, tasks)}"
            elif array.ndim == 1:
                fix = f"a task for each of {tasks} episodes"
        raise InputError(
            f"an order of {array.dtype} and shape {array.shape}",
            expected=f"whole numbers of shape {(tasks,)} or {(epochs, tasks)}",
            fix=fix,
        )
    if array.min() < 0 or array.max() >= tasks:
        raise InputError(
            f"an order with entries from {array.min()} to {array.max()}",
            expected=f"tasks from 0 to {tasks - 1}",
            fix="number the tasks from 0",
        )
    return np.array(np.broadcast_to(array, (epochs, tasks)), dtype=np.int64, order="C")


def _epoch(name: str, value: int, epochs: int) -> int:
    """An epoch's index, negative ones counted from the end."""
    epoch = whole(name, value)
    if not -epochs <= epoch <= epochs:
        raise InputError(arg(name, epoch) + f" for {epochs} epochs", expected=f"from {-epochs} to {epochs}",
                         fix=arg(name, 0))  # fmt: skip
    return epoch % epochs if epoch < 0 else epoch
