"""Sweeps over any parameters of the toy model: labelled, resumable, the same on any number of threads."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toymodel.base.memory import refuse_if_too_large
from toymodel.base.numbers import whole
from toymodel.base.words import arg
from toymodel.sweeps.plan import Plan, coordinate, make_plan
from toymodel.sweeps.storage import Storage

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
        One variable per record, over a dimension per swept parameter (``point`` for samples) and its own, and
        ``stable``: 1 within the stability limit, 0 past it (where there is no recovery score), NaN where the
        limit is not known beforehand (simulations of nonlinear maps).

    Raises:
        InputError: for unknown or impossible parameters, an output that would not fit in memory, or a file of
            another sweep, all before the first point is computed.
    """
    if threads is not None:
        whole("threads", threads, least=1, fix=1)
    plan = make_plan(parameters, kind, samples, epochs, order, gram, record)
    # A file is put together in memory.
    size = (8 if path is None else 16) * plan.points * sum(int(np.prod(s)) for s in plan.sizes().values())
    refuse_if_too_large(
        size,
        f"a sweep of {plan.points} points",
        "fewer points, or " + arg("record", "recovery"),
        memory_limit,
    )
    storage = None if path is None else Storage(Path(path), plan.fingerprint())
    if storage is not None and (found := storage.finished()) is not None:
        storage.clear()
        return found
    arrays = {name: np.full((plan.points, *s), np.nan) for name, s in plan.sizes().items()}
    if storage is None:
        _compute(plan, arrays, [(0, plan.points)], None, threads, progress)
        return _dataset(plan, arrays)
    with storage.open():
        data = storage.finished()  # by a process that held the folder until now
        if data is None:
            _compute(plan, arrays, storage.restore(arrays), storage, threads, progress)
            data = _dataset(plan, arrays)
            storage.finish(data)
        storage.tidy()
    return data


def _compute(
    plan: Plan,
    arrays: dict[str, Floats],
    missing: list[tuple[int, int]],
    storage: Storage | None,
    threads: int | None,
    progress: bool,
) -> None:
    """Compute the ranges of points that are missing, and keep what is there every few seconds."""
    from toymodel.sweeps.points import block_function

    run: Callable[[int, int, dict[str, Floats]], None] = block_function(plan, threads)
    block = BLOCK if plan.kind == "expected" else 64
    done = plan.points - sum(stop - start for start, stop in missing)
    with contextlib.ExitStack() as stack:
        bar = None
        if progress:
            from tqdm import tqdm

            # Beyond a second, on a terminal: in a pipe it would only fill the log.
            bar = stack.enter_context(
                tqdm(total=plan.points, initial=done, unit=" points", smoothing=0.05, delay=1, disable=None)
            )
        clock = time.monotonic()
        for first, last in missing:
            kept = at = first
            try:
                while at < last:
                    stop = min(at + block, last)
                    run(at, stop, {name: a[at:stop] for name, a in arrays.items()})
                    if bar is not None:
                        bar.update(stop - at)
                    at = stop
                    if storage is not None and time.monotonic() - clock > FLUSH_SECONDS:
                        storage.keep(arrays, kept, at)
                        kept, clock = at, time.monotonic()
            except BaseException:
                # Whatever stopped it, finished points are not computed again.
                if storage is not None and at > kept:
                    storage.keep(arrays, kept, at)
                raise


def _dataset(plan: Plan, arrays: dict[str, Floats]) -> xarray.Dataset:
    import xarray

    dims = tuple(plan.varied) if plan.grid else ("point",)
    own: dict[str, tuple[str, ...]] = {
        "stable": (),
        "recovery": ("interval",),
        "peaks": ("interval",),
        "final": ("task",),
        "losses": ("row", "task"),
    }
    meaning = {
        "stable": "1 within the stability limit, 0 past it, NaN where that is not known beforehand",
        "recovery": "recovery score of the n-th interval between visits (eq. 1); NaN where there is none",
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
