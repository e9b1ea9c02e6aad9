"""One run within a time limit: started or resumed, and stopped after a checkpoint before its time is up."""

from __future__ import annotations

import gc
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm.config import RunConfig
from llm.training.interrupt import Interrupted
from toymodel.base.errors import InputError
from toymodel.base.words import first_line

if TYPE_CHECKING:
    from llm.runs.finished import Run
    from llm.steps.state import TrainingState

__all__ = ["TimedRun", "Deadline", "run_until"]

# Until a checkpoint has been timed: bytes per second that its disk is taken to write.
_DISK = 5e8


@dataclass(frozen=True)
class TimedRun:
    """What became of a run.

    Attributes:
        state: ``finished``, ``paused`` for lack of time, ``stopped`` by a signal, or ``failed``.
        seconds: it took, all in all, with those beside it.
        setup_seconds: of its own before the first episode: documents, weights, a checkpoint's way back.
        episode_seconds: of a typical episode, in which those beside it trained one too; None if there was
            none.
        message: why it failed.
    """

    state: str
    seconds: float
    setup_seconds: float
    episode_seconds: float | None
    message: str = ""


@dataclass
class _Alarm:
    """The one signal that stops all runs of a process."""

    rung: bool = False

    def ring(self) -> None:
        if not self.rung:
            self.rung = True
            signal.raise_signal(signal.SIGTERM)


@dataclass
class Deadline:
    """Listens to a run and ends it in time, by the signal that a cluster sends when time is up.

    A run answers SIGTERM with a checkpoint after the current episode. So it is sent as soon as one more
    episode and a checkpoint might not fit any more, each taken to last as long as the longest episode so
    far, and before probes at the end that might not fit: these start again when the run is resumed.

    Attributes:
        end: time that must not be passed, of `clock`.
        closing: episodes' worth of work that probes do after the last episode.
        saving: seconds that a checkpoint is taken to need until one has been written.
        clock: seconds; the same in all processes of a machine.
        alarm: shared with the runs beside it, which stop with it.
    """

    end: float
    closing: int = 0
    saving: float = 0.0
    clock: Callable[[], float] = time.monotonic
    alarm: _Alarm = field(default_factory=_Alarm)
    started: float | None = None
    gaps: list[float] = field(default_factory=list)
    _last: float = 0.0

    def start(self, run: TrainingState) -> None:
        """Training is about to begin; if there is no time left for it, it does not."""
        self.started = self._last = self.clock()
        if self._last > self.end:
            self.alarm.rung = True
            raise Interrupted("no time left")

    def after_episode(self, run: TrainingState, episode: int) -> None:
        """Measure the episode, with the checkpoint before it if there was one."""
        now = self.clock()
        self.gaps.append(now - self._last)
        self._last = now
        if episode < run.order.size:
            longest = max(self.gaps)
            saving = longest if len(self.gaps) > 1 else max(longest, self.saving)
            needed = longest + saving
        else:
            needed = self.closing * self.typical
        if now + needed > self.end:
            self.alarm.ring()

    @property
    def typical(self) -> float:
        """Seconds of an episode, the median; the first holds preparations."""
        steady = sorted(self.gaps[1:] or self.gaps)
        return steady[len(steady) // 2]

    def close(self) -> None:
        """Nothing to close."""


def run_until(
    runs: Sequence[tuple[dict[str, Any], str]],
    end: float,
    bytes_saved: int,
    clock: Callable[[], float] = time.monotonic,
) -> list[TimedRun]:
    """Run side by side until finished or out of time; failures are reported rather than raised.

    Args:
        runs: configuration, as JSON so that it travels to another process, and folder of each.
        end: time of `clock` that must not be passed.
        bytes_saved: size of the checkpoints of all of them.
        clock: seconds, the same in all processes of a machine.
    """
    from llm.training.loop import Job, run_together

    jobs, deadlines, alarm = [], [], _Alarm()
    for values, path in runs:
        config = RunConfig.from_json(values)
        closing = config.num_documents if "pairwise" in config.probes else 0
        deadlines.append(Deadline(end, closing, bytes_saved / _DISK, clock, alarm))
        jobs.append(Job(config, Path(path), trackers=[deadlines[-1]]))
    began = clock()
    results: Sequence[Run | Exception | Interrupted]
    try:
        results = run_together(jobs)
    except Interrupted as stop:
        results = [stop] * len(jobs)
    _free()
    seconds = clock() - began
    return [
        _timed(result, deadline, began, seconds, len(jobs), alarm.rung)
        for result, deadline in zip(results, deadlines, strict=True)
    ]


def _timed(
    result: object, deadline: Deadline, began: float, seconds: float, together: int, told: bool
) -> TimedRun:
    state, message = "finished", ""
    if isinstance(result, Interrupted):
        state = "paused" if told else "stopped"
    elif isinstance(result, InputError):
        state, message = "failed", str(result)
    elif isinstance(result, BaseException):  # one run's failure must not end the campaign
        state = "failed"
        message = f"{type(result).__name__}: {first_line(result)}"
    setup = seconds if deadline.started is None else deadline.started - began
    # All are set up, one after the other, before any of them trains.
    return TimedRun(state, seconds, setup / together, deadline.typical if deadline.gaps else None, message)


def _free() -> None:
    """Give the device's memory back before the next run asks for it."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
