"""Runs that share a process or a job, and what became of each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from llm.config import RunConfig
from llm.training.interrupt import Interrupted
from toymodel.base.errors import InputError

__all__ = ["Batch", "Outcome"]


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
