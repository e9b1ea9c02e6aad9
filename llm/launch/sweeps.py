"""Many runs: a list of configurations over one process, several, or a cluster.

A run's folder is named by the hash of its configuration, so a sweep needs no bookkeeping: what is finished is
skipped, what is unfinished goes on, whoever started it. Processes come from the standard library and cluster
jobs from submitit; nothing is scheduled here.
"""

from __future__ import annotations

import dataclasses
import itertools
import multiprocessing
import os
import signal
import sys
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from llm.config import RunConfig
from llm.runs.folder import RunFolder
from llm.training.interrupt import Interrupted, signals
from toymodel.base.errors import InputError
from toymodel.base.words import nearest

__all__ = ["Launcher", "Outcome", "expand", "parse_variations", "sweep", "varied"]

Launcher = Literal["inline", "processes", "submitit"]
_STATES = ("finished", "skipped", "stopped", "submitted", "failed")


@dataclass(frozen=True)
class Outcome:
    """What became of one run of a sweep.

    Attributes:
        config: the run.
        path: its folder.
        state: ``finished`` now, ``skipped`` because it was, ``stopped`` by a signal after a checkpoint,
            ``submitted`` to a cluster, or ``failed``.
        message: why it failed.
    """

    config: RunConfig
    path: Path
    state: Literal["finished", "skipped", "stopped", "submitted", "failed"]
    message: str = ""


def expand(
    bases: Sequence[RunConfig],
    seeds: Sequence[int] = (),
    variations: Mapping[str, Sequence[Any]] | None = None,
) -> list[RunConfig]:
    """Every base with every seed and every combination of the variations; equal ones once.

    Args:
        bases: configurations to start from (presets).
        seeds: seeds to run each with; each base's own if none.
        variations: values by field, e.g. ``{"lr": [1e-3, 1e-4]}``.
    """
    axes = dict(variations or {})
    if seeds:
        axes["seed"] = list(seeds)
    configs = [
        dataclasses.replace(base, **dict(zip(axes, values, strict=True)))
        for base in bases
        for values in itertools.product(*axes.values())
    ]
    return list({config.id: config for config in configs}.values())


def parse_variations(items: Sequence[str]) -> dict[str, list[Any]]:
    """Variations written as ``field=value`` or ``field=value,value,...``.

    Raises:
        InputError: for an unknown field, with the nearest one, or a value of the wrong kind.
    """
    kinds = typing.get_type_hints(RunConfig)
    found: dict[str, list[Any]] = {}
    for item in items:
        name, equals, values = item.partition("=")
        name = name.strip().lstrip("-").replace("-", "_")
        if not equals or name not in kinds:
            near = nearest(name, kinds)
            raise InputError(
                f"--vary {item}",
                expected="FIELD=VALUE[,VALUE...] with a field of a run",
                fix=f"--vary {near}=...",
            )
        found[name] = [_value(name, kinds[name], text) for text in values.split(",")]
    return found


def varied(configs: Sequence[RunConfig]) -> list[str]:
    """Names of the fields in which the configurations differ, in the order of the fields."""
    first = configs[0].to_json()
    others = [config.to_json() for config in configs[1:]]
    return [name for name, value in first.items() if any(other[name] != value for other in others)]


def sweep(
    configs: Sequence[RunConfig],
    out: str | os.PathLike[str],
    *,
    launcher: Launcher = "inline",
    workers: int = 2,
    per_job: int = 1,
    parameters: Mapping[str, Any] | None = None,
    wait_for_jobs: bool = True,
) -> list[Outcome]:
    """Run every configuration in a folder of its own, ``out/<config.id>``.

    One run's failure does not stop the others. SIGINT and SIGTERM stop all after a checkpoint; the same
    call goes on from there.

    Args:
        configs: what to run.
        out: the folder of the run folders.
        launcher: ``inline`` in this process one after the other; ``processes`` on this machine, the GPUs
            shared out; ``submitit`` as jobs of a SLURM array that are requeued when they are pre-empted or
            out of time.
        workers: processes at a time, for ``processes``.
        per_job: runs per process or job, one after the other: short ones share the start-up.
        parameters: submitit's, e.g. ``{"timeout_min": 60, "slurm_partition": "gpu", "gpus_per_node": 1}``;
            ``cluster`` chooses among ``slurm``, ``local`` and, by default, whichever is there.
        wait_for_jobs: with ``submitit``, return when all jobs are done rather than at once.

    Returns:
        An outcome for every configuration, in order.

    Raises:
        InputError: for an empty list, bad numbers, a folder of another run, or a missing submitit.
        Interrupted: after a signal.
    """
    root = Path(out)
    if not configs:
        raise InputError("an empty sweep", expected="at least one configuration", fix="--presets NAME")
    for name, number in (("workers", workers), ("per_job", per_job)):
        if number < 1:
            flag = "--" + name.replace("_", "-")
            raise InputError(f"{flag} {number}", expected="at least 1", fix=f"{flag} 1")
    unique = {config.id: config for config in configs}
    folders = {name: RunFolder(root / name) for name in unique}
    # Claimed folders are checked before anything long starts.
    done = {name for name, folder in folders.items() if folder.check(unique[name]) and folder.finished}
    found = {name: Outcome(unique[name], root / name, "skipped") for name in done}
    todo = [config for name, config in unique.items() if name not in done]
    batches = [Batch(todo[k : k + per_job], root) for k in range(0, len(todo), per_job)]
    if launcher == "submitit":
        outcomes = _submit(batches, root, dict(parameters or {}), wait_for_jobs)
    elif launcher == "processes" and batches:
        outcomes = _in_processes(batches, workers)
    else:
        outcomes = (outcome for batch in batches for outcome in batch())
    try:
        for outcome in outcomes:
            found[outcome.config.id] = outcome
            _say(outcome, len(found), len(unique))
            if outcome.state == "stopped":
                raise Interrupted(f"stopped; {_rest(found, unique)}; the same command goes on from there")
    finally:
        if isinstance(outcomes, Iterator) and hasattr(outcomes, "close"):
            outcomes.close()
    return [found[config.id] for config in configs]


class Batch:
    """Runs that share a process or a job, one after the other.

    Args:
        configs: the runs.
        root: the folder of their folders.
        persistent: a signal to stop means to save and go on, as in a cluster's job, which is requeued by a
            signal of its own and may be killed at any time.
    """

    def __init__(self, configs: list[RunConfig], root: Path, persistent: bool = False) -> None:
        self.configs = configs
        self.root = root
        self.persistent = persistent

    def __call__(self) -> list[Outcome]:
        """Run them; what is finished by now is skipped."""
        found = []
        for config in self.configs:
            found.append(self._one(config))
            if found[-1].state == "stopped":
                break
        return found

    def checkpoint(self) -> Any:
        """What submitit starts again after a pre-emption: the same; the run folders know how far it got."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)

    def _one(self, config: RunConfig) -> Outcome:
        from llm.training.loop import run

        path = self.root / config.id
        while True:
            try:
                run(config, path)
            except Interrupted:
                if not self.persistent:
                    return Outcome(config, path, "stopped")
            except Exception as error:  # one run's failure must not end the others
                words = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
                return Outcome(config, path, "failed", words)
            else:
                return Outcome(config, path, "finished")


def _in_processes(batches: list[Batch], workers: int) -> Iterator[Outcome]:
    """Outcomes as they come. Workers are fresh processes: CUDA does not survive a fork."""
    context = multiprocessing.get_context("spawn")
    workers = min(workers, len(batches))
    numbers, halt = context.SimpleQueue(), context.Event()
    for number in range(workers):
        numbers.put(number)
    arguments = (numbers, workers, _devices(), halt)
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_prepare_worker, initargs=arguments)
    jobs: dict[Future[list[Outcome]], Batch] = {pool.submit(_work, batch): batch for batch in batches}

    def stop_all() -> None:
        # Once only: the second signal ends a run at once. What waits in a queue asks `halt` before it begins.
        if not halt.is_set():
            halt.set()
            for child in multiprocessing.active_children():
                if child.pid is not None:
                    os.kill(child.pid, signal.SIGTERM)

    with signals() as stop:
        try:
            while jobs:
                ready, _ = wait(jobs, timeout=0.2, return_when=FIRST_COMPLETED)
                if stop:
                    stop_all()
                for job in ready:
                    yield from _outcomes(job, jobs.pop(job))
        finally:
            if jobs:
                stop_all()
            pool.shutdown(wait=True, cancel_futures=True)


def _outcomes(job: Future[list[Outcome]], batch: Batch) -> list[Outcome]:
    try:
        return job.result()
    except Exception as error:  # the worker died, or memory ran out
        words = f"{type(error).__name__}: {error}"
        return [Outcome(config, batch.root / config.id, "failed", words) for config in batch.configs]


def _prepare_worker(numbers: Any, workers: int, devices: list[str], halt: Any) -> None:
    """Give each worker its share of the cores, a GPU of its own where there are several, and its manners."""
    _worker.update(halt=halt, busy=False)
    # Ctrl-C in a terminal reaches a whole process group; only the parent is to hear it, and pass it on.
    os.setpgrp()
    signal.signal(signal.SIGTERM, _before_training)
    number = numbers.get()
    if len(devices) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = devices[number % len(devices)]
    import torch

    torch.set_num_threads(max(1, torch.get_num_threads() // workers))


# What a worker process knows of itself.
_worker: dict[str, Any] = {}


def _before_training(number: int, frame: object) -> None:
    """SIGTERM outside training: give up what is being prepared; an idle worker just waits for its end."""
    if _worker["busy"]:
        raise Interrupted("stopped before training")


def _work(batch: Batch) -> list[Outcome]:
    """A batch in a worker, unless all has been stopped meanwhile."""
    _worker["busy"] = True
    try:
        if _worker["halt"].is_set():
            raise Interrupted
        return batch()
    except Interrupted:
        return [Outcome(config, batch.root / config.id, "stopped") for config in batch.configs]
    finally:
        _worker["busy"] = False


def _devices() -> list[str]:
    """The GPUs this process may use."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [device for device in chosen.split(",") if device]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def _submit(
    batches: list[Batch], root: Path, parameters: dict[str, Any], wait_for_jobs: bool
) -> Iterator[Outcome]:
    """Submit all batches as one array; outcomes when the jobs are done, or at once."""
    try:
        import submitit
    except ImportError as error:
        raise InputError(
            "--launcher submitit: the package submitit is not installed",
            expected="submitit, which talks to the cluster",
            fix="pip install submitit, or --launcher processes",
        ) from error
    try:
        executor = submitit.AutoExecutor(folder=root / "jobs", cluster=parameters.pop("cluster", None))
        executor.update_parameters(**({"name": "reawaken"} | parameters))
    except (ValueError, NameError, TypeError, RuntimeError) as error:
        raise InputError(
            f"--submitit: {error}",
            expected="parameters of submitit, e.g. timeout_min=60 slurm_partition=gpu gpus_per_node=1",
            fix="--submitit cluster=local tries it on this machine",
        ) from error
    for batch in batches:
        batch.persistent = True
    with executor.batch():
        jobs = [executor.submit(batch) for batch in batches]
    for job, batch in zip(jobs, batches, strict=True):
        print(f"reawaken: job {job.job_id}, logs in {root / 'jobs'}", file=sys.stderr)
        if not wait_for_jobs:
            for config in batch.configs:
                yield Outcome(config, root / config.id, "submitted")
            continue
        try:
            yield from job.result()
        except Exception as error:  # whatever the job raised, or its death
            lines = str(error).strip().splitlines() or [type(error).__name__]
            for config in batch.configs:
                yield Outcome(config, root / config.id, "failed", lines[-1])


def _say(outcome: Outcome, number: int, total: int) -> None:
    text = f": {outcome.message}" if outcome.message else ""
    print(f"reawaken: [{number}/{total}] {outcome.path} {outcome.state}{text}", file=sys.stderr)


def _rest(found: Mapping[str, Outcome], unique: Mapping[str, RunConfig]) -> str:
    done = sum(outcome.state in ("finished", "skipped") for outcome in found.values())
    return f"{done} of {len(unique)} runs are finished"


def _value(name: str, kind: Any, text: str) -> Any:
    """Text as a value of a field's type; ``none`` where the field may be empty."""
    options = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    text = text.strip()
    if type(None) in options and text.lower() == "none":
        return None
    plain = next(option for option in options if option is not type(None))
    if typing.get_origin(plain) is tuple:
        item = typing.get_args(plain)[0]
        return tuple(_value(name, item, part) for part in text.split("+") if part)
    if typing.get_origin(plain) is Literal:
        return text  # the configuration itself knows the choices
    try:
        if plain is bool:
            return {"true": True, "false": False}[text.lower()]
        return plain(text)
    except (ValueError, KeyError) as error:
        word = {"bool": "true or false", "int": "an integer", "float": "a number"}.get(plain.__name__, "text")
        raise InputError(f"--vary {name}={text}", expected=word, fix=f"--vary {name}=...") from error
