"""Runs that share a process or a job, and what became of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llm.config import RunConfig
from llm.cost.shape import shape
from llm.training.interrupt import Interrupted
from toymodel.base.errors import InputError
from toymodel.base.lock import Held

if TYPE_CHECKING:
    from llm.runs.finished import Run
    from llm.training.loop import Job

__all__ = ["Batch", "Outcome", "side_by_side"]


@dataclass(frozen=True)
class Outcome:
    """What became of one run of a sweep.

    Attributes:
        config: the run.
        path: its folder.
        state: ``finished`` now, ``skipped`` because it was, ``stopped`` by a signal after a checkpoint,
            ``submitted`` to a cluster, ``held`` by another process that runs it, or ``failed``.
        message: why it failed, or who holds it.
    """

    config: RunConfig
    path: Path
    state: Literal["finished", "skipped", "stopped", "submitted", "held", "failed"]
    message: str = ""


def side_by_side(configs: Sequence[RunConfig], together: int) -> list[list[RunConfig]]:
    """Groups of at most so many runs of one shape, in the order in which each shape comes first."""
    alike: dict[RunConfig, list[RunConfig]] = {}
    for config in configs:
        alike.setdefault(shape(config), []).append(config)
    return [runs[k : k + together] for runs in alike.values() for k in range(0, len(runs), together)]


class Batch:
    """Runs that share a process or a job, one after the other, or several side by side.

    Args:
        groups: the runs; those of a group go side by side, one group after the other.
        root: the folder of their folders.
        persistent: a signal to stop means to save and go on, as in a cluster's job, which is requeued by a
            signal of its own and may be killed at any time.
    """

    def __init__(self, groups: Sequence[Sequence[RunConfig]], root: Path, persistent: bool = False) -> None:
        self.groups = groups
        self.root = root
        self.persistent = persistent

    @property
    def configs(self) -> list[RunConfig]:
        """All runs."""
        return [config for group in self.groups for config in group]

    def __call__(self) -> list[Outcome]:
        """Run them; what is finished by now is skipped."""
        found: list[Outcome] = []
        for group in self.groups:
            found += self._together(group)
            if any(outcome.state == "stopped" for outcome in found):
                break
        return found

    def checkpoint(self) -> Any:
        """What submitit starts again after a pre-emption: the same; the run folders know how far it got."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)

    def _together(self, group: Sequence[RunConfig]) -> list[Outcome]:
        from llm.training.loop import Job, run_together

        jobs = [Job(config, self.root / config.id) for config in group]
        while True:
            try:
                results = run_together(jobs)
            except Interrupted as stop:  # before any of them had anything to save
                results = [stop] * len(jobs)
            found = [_outcome(job, result) for job, result in zip(jobs, results, strict=True)]
            if not (self.persistent and any(outcome.state == "stopped" for outcome in found)):
                return found


def _outcome(job: Job, result: Run | BaseException) -> Outcome:
    path = Path(job.out)
    if isinstance(result, Interrupted):
        return Outcome(job.config, path, "stopped")
    if isinstance(result, BaseException):  # one run's failure must not end the others
        words = str(result) if isinstance(result, InputError) else f"{type(result).__name__}: {result}"
        return Outcome(job.config, path, "held" if isinstance(result, Held) else "failed", words)
    return Outcome(job.config, path, "finished")
