"""Many runs: a list of configurations over one process, several, or a cluster.

A run's folder is named by the hash of its configuration, so a sweep needs no bookkeeping: what is finished is
skipped, what is unfinished goes on, whoever started it. Nothing is scheduled here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Any, Literal

from llm.config import RunConfig
from llm.cost.memory import free_memory
from llm.cost.shape import memory_needed
from llm.launch.batch import Batch, Outcome, side_by_side
from llm.launch.cluster import submit
from llm.launch.pool import Pool
from llm.runs.folder import RunFolder
from llm.training.interrupt import Interrupted, signals
from llm.training.loop import check_together
from toymodel.base.errors import InputError
from toymodel.base.files import check_output_folder
from toymodel.base.numbers import whole
from toymodel.base.words import arg

__all__ = ["Launcher", "sweep"]

Launcher = Literal["inline", "processes", "submitit"]


def sweep(
    configs: Sequence[RunConfig],
    out: str | os.PathLike[str],
    *,
    launcher: Launcher = "inline",
    workers: int = 2,
    per_job: int = 1,
    together: int = 1,
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
        per_job: runs (with `together` groups of them) per process or job, one after the other: short ones
            share the start-up.
        together: runs of one shape side by side in one process, each on a stream of its own of the GPU and to
            the numbers that it has alone: for networks that do not fill one. On a CPU nothing is gained.
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
    check_output_folder(root)
    if not configs:
        raise InputError("an empty sweep", expected="at least one configuration", fix=arg("presets", "NAME"))
    check_together(together)
    for name, number in (("workers", workers), ("per_job", per_job)):
        whole(name, number, least=1, fix=1)
    unique = {config.id: config for config in configs}
    folders = {name: RunFolder(root / name) for name in unique}
    # Claimed folders are checked before anything long starts.
    done = {name for name, folder in folders.items() if folder.check(unique[name]) and folder.finished}
    found = {name: Outcome(unique[name], root / name, "skipped") for name in done}
    todo = [config for name, config in unique.items() if name not in done]
    groups = side_by_side(todo, together) if together > 1 else [[config] for config in todo]
    if together > 1 and launcher != "submitit":
        _check_memory(groups)
    batches = [Batch(groups[k : k + per_job], root) for k in range(0, len(groups), per_job)]
    if launcher == "submitit":
        outcomes = submit(batches, root, dict(parameters or {}), wait_for_jobs)
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


def _check_memory(groups: Sequence[Sequence[RunConfig]]) -> None:
    """Refuse groups for which this machine has no memory, before any of their networks is built."""
    from llm.steps.device import run_device

    for group in groups:
        device = run_device(group[0])
        needed, free = memory_needed(group[0], device), free_memory(device)
        if len(group) > 1 and len(group) * needed > free:
            fits = max(1, free // needed)
            raise InputError(
                arg("together", len(group))
                + f" for runs of {group[0].model}, which need {needed / 1e9:.3g} GB each",
                expected=f"runs that fit into the {free / 1e9:.3g} GB that are free",
                fix=arg("together", fits),
            )


def _in_processes(batches: list[Batch], workers: int) -> Iterator[Outcome]:
    """Outcomes as they come."""
    with signals() as stop, Pool(min(workers, len(batches))) as pool:
        jobs = {pool.submit(batch): batch for batch in batches}
        while jobs:
            ready, _ = wait(jobs, timeout=0.2, return_when=FIRST_COMPLETED)
            if stop:
                pool.stop()
            for job in ready:
                yield from _outcomes(job, jobs.pop(job))


def _outcomes(job: Future[list[Outcome]], batch: Batch) -> list[Outcome]:
    try:
        return job.result()
    except Interrupted:
        return [Outcome(config, batch.root / config.id, "stopped") for config in batch.configs]
    except Exception as error:  # the worker died, or memory ran out
        words = f"{type(error).__name__}: {error}"
        return [Outcome(config, batch.root / config.id, "failed", words) for config in batch.configs]


def _say(outcome: Outcome, number: int, total: int) -> None:
    text = f": {outcome.message}" if outcome.message else ""
    print(f"reawaken: [{number}/{total}] {outcome.path} {outcome.state}{text}", file=sys.stderr)


def _rest(found: Mapping[str, Outcome], unique: Mapping[str, RunConfig]) -> str:
    done = sum(outcome.state in ("finished", "skipped") for outcome in found.values())
    return f"{done} of {len(unique)} runs are finished"
