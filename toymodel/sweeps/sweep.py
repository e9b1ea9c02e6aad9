"""Sweeps over any parameters of the toy model: labelled, resumable, the same on any number of threads."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toymodel.errors import InputError
from toymodel.files import atomic_write
from toymodel.losses import LossMatrix
from toymodel.maps import TaskMap, get_map
from toymodel.memory import refuse_if_too_large

if TYPE_CHECKING:
    import xarray

__all__ = ["KINDS", "PARAMETERS", "RECORDS", "Plan", "sweep"]

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

KINDS = ("expected", "sampled", "simulated")
RECORDS = ("recovery", "peaks", "final", "losses")
BLOCK = 8192
FLUSH_SECONDS = 5.0


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
        return {name: every[name] for name in self.record}

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
            {name: [_label(v) for v in values] for name, values in self.varied.items()},
            {name: _label(value) for name, value in self.fixed.items()},
            self.grid, self.kind, self.epochs, self.record, self.order.tolist(), self.gram.tolist(),
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def sweep(
    parameters: Mapping[str, Any],
    *,
    kind: str = "expected",
    samples: bool = False,
    epochs: int = 7,
    order: ArrayLike | None = None,
    gram: ArrayLike | None = None,
    record: str | Iterable[str] = ("recovery",),
    path: str | Path | None = None,
    threads: int | None = None,
    memory_limit: int | None = None,
    progress: bool = False,
) -> xarray.Dataset:
    """Many experiments, one for each combination of parameters.

    Args:
        parameters: values by name (see `PARAMETERS` for all of them and their defaults: numbers of tasks T,
            dimension N and embedding M (N if None), rate, inner steps K, fast rate eta, uniform similarity
            rho of the data, map, seed, and the variances of the entries of P (1/N^2 if None), y and w). Slow
            and fast share ``A`` and ``B`` replace what rate, K and eta would give. A sequence is swept over.
        kind: ``expected``, exact expectations over P, y and w; ``sampled``, one experiment drawn in
            distribution for each seed (`toymodel.sample_moments`); or ``simulated``, with data, targets and
            weights of `toymodel.random_tasks`. The first two take scalar maps with one slope; simulations
            take any map that is compiled, and data have E||x||^2 = N/3 in all of them.
        samples: sequences are of one length and go together, one point for each entry; else a grid.
        epochs: E.
        order: the schedule of every point, shape ``(E, T)``; cyclic if None.
        gram: the Gram matrix of every point, shape ``(T, T)``, in place of rho (not for simulations).
        record: what to keep of each point: ``recovery`` (scores 1..E-1, NaN where there is none), ``peaks``
            (largest loss of the first task between visits), ``final`` (losses at the end), ``losses`` (the
            whole matrix).
        path: NetCDF file to write. A sweep that was stopped goes on from where it was; a finished one of the
            same settings is only read.
        threads: for the points; all cores if None. Results do not depend on it.
        memory_limit: bytes that the output may take; nine tenths of what is available if None.
        progress: show a bar.

    Returns:
        One variable per record, over a dimension per swept parameter (``point`` for samples) and its own.

    Raises:
        InputError: for unknown or impossible parameters, an output that would not fit in memory, or a file of
            another sweep, all before the first point is computed.
    """
    plan = _plan(parameters, kind, samples, epochs, order, gram, record)
    size = 8 * plan.points * sum(int(np.prod(s)) for s in plan.sizes().values())
    refuse_if_too_large(size, f"a sweep of {plan.points} points", "fewer points, or record='recovery'",
                        memory_limit)  # fmt: skip
    target = None if path is None else Path(path)
    if target is not None and target.exists():
        return _finished(target, plan)
    arrays = {name: np.full((plan.points, *s), np.nan) for name, s in plan.sizes().items()}
    parts = None if target is None else Path(f"{target}.parts")
    done = 0 if parts is None else _resume(parts, plan, arrays)
    _compute(plan, arrays, done, parts, threads, progress)
    data = _dataset(plan, arrays)
    if target is not None and parts is not None:
        _write(data, target)
        shutil.rmtree(parts)
    return data


def _compute(
    plan: Plan, arrays: dict[str, Floats], done: int, parts: Path | None, threads: int | None, progress: bool
) -> None:
    from toymodel.points import block_function

    run: Callable[[int, int, dict[str, Floats]], None] = block_function(plan, threads)
    block = BLOCK if plan.kind == "expected" else 64
    with contextlib.ExitStack() as stack:
        bar = None
        if progress:
            from tqdm import tqdm

            bar = stack.enter_context(tqdm(total=plan.points, initial=done, unit="point", smoothing=0.05))
        kept, clock = done, time.monotonic()
        try:
            while done < plan.points:
                stop = min(done + block, plan.points)
                run(done, stop, {name: a[done:stop] for name, a in arrays.items()})
                if bar is not None:
                    bar.update(stop - done)
                done = stop
                if parts is not None and time.monotonic() - clock > FLUSH_SECONDS:
                    _keep(parts, arrays, kept, done)
                    kept, clock = done, time.monotonic()
        except BaseException:
            # Whatever stopped it, finished points are not computed again.
            if parts is not None and done > kept:
                _keep(parts, arrays, kept, done)
            raise


def _keep(parts: Path, arrays: dict[str, Floats], start: int, stop: int) -> None:
    with atomic_write(parts / f"{start:012d}-{stop:012d}.npz") as file:
        content: dict[str, Any] = {name: a[start:stop] for name, a in arrays.items()}
        np.savez(file, **content)


def _resume(parts: Path, plan: Plan, arrays: dict[str, Floats]) -> int:
    """Read what a stopped sweep left; the number of points that need not be computed."""
    mark = parts / "sweep.json"
    if mark.exists():
        if json.loads(mark.read_text())["fingerprint"] != plan.fingerprint():
            raise _another(parts)
    else:
        with atomic_write(mark, "w") as file:
            json.dump({"fingerprint": plan.fingerprint()}, file)
    done = 0
    for part in sorted(parts.glob("*-*.npz")):
        start, stop = (int(n) for n in part.stem.split("-"))
        if start != done:
            break
        with np.load(part, allow_pickle=False) as content:
            for name, a in arrays.items():
                a[start:stop] = content[name]
        done = stop
    return done


def _finished(target: Path, plan: Plan) -> xarray.Dataset:
    import xarray

    try:
        data = xarray.load_dataset(target, engine="h5netcdf")
    except (OSError, ValueError) as error:
        raise InputError(f"{str(target)!r} cannot be read as NetCDF ({error})",
                         expected="the file of a sweep", fix="move it away") from error  # fmt: skip
    if data.attrs.get("fingerprint") != plan.fingerprint():
        raise _another(target)
    return data


def _another(path: Path) -> InputError:
    return InputError(f"{str(path)!r} holds another sweep",
                      expected="a file of the same settings, or none",
                      fix="another path, or remove it")  # fmt: skip


def _write(data: xarray.Dataset, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.tmp")
    data.to_netcdf(temporary, engine="h5netcdf")
    temporary.replace(target)


def _dataset(plan: Plan, arrays: dict[str, Floats]) -> xarray.Dataset:
    import xarray

    dims = tuple(plan.varied) if plan.grid else ("point",)
    own = {"recovery": ("interval",), "peaks": ("interval",), "final": ("task",), "losses": ("row", "task")}
    meaning = {
        "recovery": "recovery score of the n-th interval between visits (eq. 1)",
        "peaks": "largest loss of the first task in the n-th interval between its visits",
        "final": "losses at the end",
        "losses": "losses before training and after every episode",
    }
    variables = {
        name: (dims + own[name], a.reshape(plan.shape + a.shape[1:]), {"long_name": meaning[name]})
        for name, a in arrays.items()
    }
    coords: dict[str, Any] = {
        name: (name if plan.grid else "point", np.array([_label(v) for v in values]))
        for name, values in plan.varied.items()
    }
    if {"recovery", "peaks"} & set(plan.record):
        coords["interval"] = np.arange(1, plan.epochs)
    if {"final", "losses"} & set(plan.record):
        coords["task"] = np.arange(plan.most)
    fixed = json.dumps({name: _label(value) for name, value in plan.fixed.items()})
    attributes = {"kind": plan.kind, "epochs": plan.epochs, "fixed": fixed, "fingerprint": plan.fingerprint()}
    return xarray.Dataset(variables, coords, attributes)


def _label(value: Any) -> Any:
    if isinstance(value, TaskMap):
        return value.name
    return value.item() if isinstance(value, np.generic) else value


def _plan(
    parameters: Mapping[str, Any],
    kind: str,
    samples: bool,
    epochs: int,
    order: ArrayLike | None,
    gram: ArrayLike | None,
    record: str | Iterable[str],
) -> Plan:
    wanted = (record,) if isinstance(record, str) else tuple(dict.fromkeys(record))
    for label, values, known in (
        ("parameter", parameters, PARAMETERS), ("kind", (kind,), KINDS), ("record", wanted, RECORDS),
    ):  # fmt: skip
        for value in values:
            if value not in known:
                near = difflib.get_close_matches(str(value), known, n=1, cutoff=0.0)[0]
                raise InputError(f"{label} {value!r}", expected="one of " + ", ".join(known), fix=near)
    if epochs < 2 and {"recovery", "peaks"} & set(wanted):
        raise InputError(f"epochs={epochs}", expected="at least 2, for a second visit", fix="epochs=7")
    varied = {n: list(v) for n, v in parameters.items() if _swept(v)}
    fixed = {**PARAMETERS, **{n: v for n, v in parameters.items() if n not in varied}}
    for name in varied:
        del fixed[name]
    lengths = tuple(len(v) for v in varied.values())
    if 0 in lengths or (samples and len(set(lengths)) != 1):
        raise InputError(f"sequences of lengths {lengths}",
                         expected="values, as many for each one if samples", fix="rate=[0.001]")  # fmt: skip
    every = {**{n: [v] for n, v in fixed.items()}, **varied}
    maps = {_label(m): get_map(m) for m in every["map"]}
    _judge(every, kind, maps)
    counts = {int(t) for t in every["tasks"]}
    if (order is not None or gram is not None) and len(counts) > 1:
        raise InputError("an order or a Gram matrix for several numbers of tasks",
                         expected="one number of tasks", fix="tasks=25")  # fmt: skip
    most = max(counts)
    flat = np.empty(0, dtype=np.int64)
    if order is not None:
        flat = LossMatrix.from_values(np.zeros((1 + epochs * most, most)), order).order.ravel()
    G = np.empty((0, 0)) if gram is None else np.array(gram, dtype=np.float64)
    if gram is not None and (
        G.shape != (most, most)
        or not np.isfinite(G).all()
        or not (np.diag(G) > 0).all()
        or kind == "simulated"
    ):
        raise InputError(f"gram of shape {G.shape} for a sweep of kind {kind!r} with {most} tasks",
                         expected=f"a finite Gram matrix, shape {(most, most)}, kind 'expected' or 'sampled'",
                         fix="gram=x @ x.T")  # fmt: skip
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
                raise InputError(f"{name}={value!r}", expected=_RANGES.get(name, f"at least {least:g}"),
                                 fix=f"{name}={PARAMETERS[name]}")  # fmt: skip
    if (every["A"] == [None]) != (every["B"] == [None]):
        raise InputError("one of A and B", expected="both shares, or neither", fix="A=0.3, B=0.7")
    for label, one in maps.items():
        if kind != "simulated" and one.slope is None:
            raise InputError(f"map {label!r} in a sweep of kind {kind!r}",
                             expected="a scalar map with one slope", fix="kind='simulated'")  # fmt: skip
        _ = one.forward.compiled, one.inverse.compiled  # refuses plain Python functions
    if kind == "simulated" and (every["A"] != [None] or every["rho"] != [0.0]):
        raise InputError("A, B or rho in a sweep of kind 'simulated'",
                         expected="rate, inner_steps and fast_rate", fix="kind='expected'")  # fmt: skip


_RANGES = {"rate": "a positive number", "fast_rate": "above 0, at most 1", "rho": "0 <= rho < 1"}
