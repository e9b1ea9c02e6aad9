"""What a sweep is to compute: parameters checked, spread over a grid or a list of points."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toymodel.base.errors import InputError, refuse_ignored
from toymodel.base.words import arg, args, nearest
from toymodel.maps import TaskMap, get_map
from toymodel.measures.losses import LossMatrix
from toymodel.theory.choosing import check_gram

__all__ = ["KINDS", "PARAMETERS", "RECORDS", "Plan", "coordinate", "make_plan"]

Floats = NDArray[np.float64]


PARAMETERS: dict[str, Any] = {
    "tasks": 25,
    "dimension": 1000,
    "embedding": None,
    "rate": 0.001,
    "inner_steps": 1,
    "fast_rate": 1.0,
    "A": None,
    "B": None,
    "rho": 0.0,
    "map": "identity",
    "seed": 0,
    "variance_p": None,
    "variance_y": 1 / 3,
    "variance_w": 1 / 3,
}
"""Every parameter and its default: the experiment of the paper's Fig. 10a."""


# Of the results: files of another form are not taken for this one's.
_FORM = 2

KINDS = ("expected", "sampled", "simulated")

RECORDS = ("recovery", "peaks", "final", "losses")
_RANGES = {"rate": "a positive number", "fast_rate": "above 0, at most 1", "rho": "0 <= rho < 1"}


@dataclass(frozen=True, eq=False)
class Plan:
    """A sweep that was checked: what varies, what does not, and what is kept.

    Attributes:
        varied: values of each parameter that varies, in the order of the dimensions.
        fixed: values of all others.
        shape: of the grid, or ``(points,)`` for samples.
        grid: a grid, not samples.
        kind: ``expected``, ``sampled`` or ``simulated``.
        epochs: E.
        most: largest number of tasks.
        order: of the episodes, ``(E, T)``, or empty for cyclic ones.
        gram: shape ``(T, T)``, or empty for uniform similarity rho.
        record: names of what is kept.
        maps: the maps by label.
    """

    varied: dict[str, list[Any]]
    fixed: dict[str, Any]
    shape: tuple[int, ...]
    grid: bool
    kind: str
    epochs: int
    most: int
    order: NDArray[np.int64]
    gram: Floats
    record: tuple[str, ...]
    maps: dict[str, TaskMap]

    @property
    def points(self) -> int:
        """Number of experiments."""
        return int(np.prod(self.shape, dtype=np.int64))

    def sizes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each record for one point."""
        rows = 1 + self.epochs * self.most
        every = {
            "recovery": (self.epochs - 1,),
            "peaks": (self.epochs - 1,),
            "final": (self.most,),
            "losses": (rows, self.most),
        }
        return {name: every[name] for name in self.record} | {"stable": ()}

    def values(self, start: int, stop: int) -> dict[str, list[Any]]:
        """Parameter values of points start..stop."""
        index = np.arange(start, stop)
        found: dict[str, list[Any]] = {name: [value] * len(index) for name, value in self.fixed.items()}
        places = (
            np.unravel_index(index, self.shape) if self.grid and self.shape else [index] * len(self.varied)
        )
        for (name, values), place in zip(self.varied.items(), places, strict=True):
            found[name] = [values[k] for k in place]
        return found

    def fingerprint(self) -> str:
        """Changes whenever the results could."""
        content = [
            {name: [coordinate(v) for v in values] for name, values in self.varied.items()},
            {name: coordinate(value) for name, value in self.fixed.items()},
            self.grid, self.kind, self.epochs, self.record, self.order.tolist(), self.gram.tolist(), _FORM,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def make_plan(
    parameters: Mapping[str, Any],
    kind: str,
    samples: bool,
    epochs: int,
    order: ArrayLike | None,
    gram: ArrayLike | None,
    record: str | Iterable[str],
) -> Plan:
    """Check the arguments of `toymodel.sweep` and spread them over the points.

    Raises:
        InputError: for unknown names, values out of range, or what would not fit in memory.
    """
    wanted = (record,) if isinstance(record, str) else tuple(dict.fromkeys(record))
    for label, values, known in (
        ("parameter", parameters, PARAMETERS), ("kind", (kind,), KINDS), ("record", wanted, RECORDS),
    ):  # fmt: skip
        for value in values:
            if value not in known:
                near = nearest(value, known)
                raise InputError(f"{label} {value!r}", expected="one of " + ", ".join(known), fix=near)
    if epochs < 2 and {"recovery", "peaks"} & set(wanted):
        raise InputError(
            arg("epochs", epochs), expected="at least 2, for a second visit", fix=arg("epochs", 7)
        )
    varied = {n: list(v) for n, v in parameters.items() if _swept(v)}
    fixed = {**PARAMETERS, **{n: v for n, v in parameters.items() if n not in varied}}
    for name in varied:
        del fixed[name]
    lengths = tuple(len(v) for v in varied.values())
    if 0 in lengths or (samples and len(set(lengths)) != 1):
        raise InputError(
            f"sequences of lengths {lengths}",
            expected="values, as many for each one if samples",
            fix=arg("rate", [0.001]),
        )
    every = {**{n: [v] for n, v in fixed.items()}, **varied}
    maps = {coordinate(m): get_map(m) for m in every["map"]}
    _judge(every, kind, maps)
    counts = {int(t) for t in every["tasks"]}
    if (order is not None or gram is not None) and len(counts) > 1:
        raise InputError("an order or a Gram matrix for several numbers of tasks",
                         expected="one number of tasks", fix=arg("tasks", 25))  # fmt: skip
    most = max(counts)
    flat = np.empty(0, dtype=np.int64)
    if order is not None:
        flat = LossMatrix.from_values(np.zeros((1 + epochs * most, most)), order).order.ravel()
    G = np.empty((0, 0)) if gram is None else np.array(gram, dtype=np.float64)
    if gram is not None and (G.shape != (most, most) or kind == "simulated"):
        raise InputError(f"gram of shape {G.shape} for a sweep of kind {kind!r} with {most} tasks",
                         expected=f"a Gram matrix of shape {(most, most)}, kind 'expected' or 'sampled'",
                         fix="gram=x @ x.T")  # fmt: skip
    if gram is not None:
        G = check_gram(G)
        refuse_ignored({"rho": every["rho"]}, {"rho": [PARAMETERS["rho"]]}, "a Gram matrix")
    shape = lengths[:1] if samples else lengths
    return Plan(varied, fixed, shape, not samples, kind, epochs, most, flat, G, wanted, maps)


def _swept(value: Any) -> bool:
    return isinstance(value, Sequence | np.ndarray) and not isinstance(value, str)


def _judge(every: dict[str, list[Any]], kind: str, maps: dict[str, TaskMap]) -> None:
    """Ranges of all values, by parameter."""
    whole = {"tasks": 2, "dimension": 1, "embedding": 1, "inner_steps": 1, "seed": 0}
    for name, values in every.items():
        for value in values:
            if name == "map" or (value is None and PARAMETERS[name] is None):
                continue
            try:
                number = float(value)
            except (TypeError, ValueError):
                number = np.nan
            least = float(whole.get(name, 0))
            good = np.isfinite(number) and number >= least and (name not in whole or number == int(number))
            good = good and not (name in ("rate", "fast_rate") and number == 0)
            good = good and not (name == "fast_rate" and number > 1) and not (name == "rho" and number >= 1)
            if not good:
                raise InputError(arg(name, value), expected=_RANGES.get(name, f"at least {least:g}"),
                                 fix=arg(name, PARAMETERS[name]))  # fmt: skip
    if (every["A"] == [None]) != (every["B"] == [None]):
        raise InputError("one of A and B", expected="both shares, or neither", fix=args(A=0.3, B=0.7))
    if every["A"] != [None]:
        idle = {name: every[name] for name in ("rate", "inner_steps", "fast_rate")}
        refuse_ignored(idle, {name: [PARAMETERS[name]] for name in idle}, "the shares A and B")
    for label, one in maps.items():
        if kind != "simulated" and one.slope is None:
            raise InputError(
                f"map {label!r} in a sweep of kind {kind!r}",
                expected="a scalar map with one slope",
                fix=arg("kind", "simulated"),
            )
        _ = one.forward.compiled, one.inverse.compiled  # refuses plain Python functions
    if kind == "simulated" and (every["A"] != [None] or every["rho"] != [0.0]):
        raise InputError("A, B or rho in a sweep of kind 'simulated'",
                         expected="rate, inner_steps and fast_rate", fix=arg("kind", "expected"))  # fmt: skip


def coordinate(value: Any) -> Any:
    """A parameter value as a label of its axis: a map by its name."""
    if isinstance(value, TaskMap):
        return value.name
    return value.item() if isinstance(value, np.generic) else value
