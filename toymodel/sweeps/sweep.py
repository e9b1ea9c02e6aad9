"""Sweeps over any parameters of the toy model: labelled, resumable, the same on any number of threads."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toymodel.base.errors import InputError
from toymodel.base.files import atomic_write
from toymodel.base.memory import refuse_if_too_large
from toymodel.sweeps.plan import Plan, coordinate, make_plan

if TYPE_CHECKING:
    import xarray

__all__ = ["sweep"]

Floats = NDArray[np.float64]


BLOCK = 8192
FLUSH_SECONDS = 5.0


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
    plan = make_plan(parameters, kind, samples, epochs, order, gram, record)
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
    from toymodel.sweeps.points import block_function

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
        name: (name if plan.grid else "point", np.array([coordinate(v) for v in values]))
        for name, values in plan.varied.items()
    }
    if {"recovery", "peaks"} & set(plan.record):
        coords["interval"] = np.arange(1, plan.epochs)
    if {"final", "losses"} & set(plan.record):
        coords["task"] = np.arange(plan.most)
    fixed = json.dumps({name: coordinate(value) for name, value in plan.fixed.items()})
    attributes = {"kind": plan.kind, "epochs": plan.epochs, "fixed": fixed, "fingerprint": plan.fingerprint()}
    return xarray.Dataset(variables, coords, attributes)
