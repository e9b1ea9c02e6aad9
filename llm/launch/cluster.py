"""Batches of runs as jobs of a cluster, by submitit."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llm.launch.batch import Batch, Outcome
from toymodel.base.errors import InputError
from toymodel.base.words import arg

__all__ = ["submit"]


def submit(
    batches: list[Batch], root: Path, parameters: dict[str, Any], wait_for_jobs: bool
) -> Iterator[Outcome]:
    """Submit all batches as one array; outcomes when the jobs are done, or at once."""
    try:
        import submitit
    except ImportError as error:
        raise InputError(
            arg("launcher", "submitit") + ": the package submitit is not installed",
            expected="submitit, which talks to the cluster",
            fix="pip install submitit, or " + arg("launcher", "processes"),
        ) from error
    try:
        executor = submitit.AutoExecutor(folder=root / "jobs", cluster=parameters.pop("cluster", None))
        executor.update_parameters(**({"name": "reawaken"} | parameters))
    except (ValueError, NameError, TypeError, RuntimeError) as error:
        raise InputError(
            arg("submitit") + f": {error}",
            expected="parameters of submitit, e.g. timeout_min=60 slurm_partition=gpu gpus_per_node=1",
            fix=arg("submitit", "cluster=local") + " tries it on this machine",
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
