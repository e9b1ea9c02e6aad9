"""One run within a time limit: started or resumed, and stopped after a checkpoint before its time is up."""

from __future__ import annotations

import gc
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm.config import RunConfig
from llm.training.interrupt import Interrupted
from toymodel.base.errors import InputError
from toymodel.base.words import first_line

if TYPE_CHECKING:
    from llm.steps.state import TrainingState

__all__ = ["TimedRun", "Deadline", "run_until"]

# Until a checkpoint has been timed: bytes per second that its disk is taken to write.
_DISK = 5e8


@dataclass(frozen=True)
class TimedRun:
    """What became of a run.

    Attributes:
        state: ``finished``, ``paused`` for lack of time, ``stopped`` by a signal, or ``failed``.
        seconds: it took, all in all.
        setup_seconds: of them before the first episode: documents, weights, a checkpoint's way back.
        episode_seconds: of a typical episode; None if there was none.
        message: why it failed.
    """

    state: str
    seconds: float
    setup_seconds: float
    episode_seconds: float | None
    message: str = ""


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
    """

    end: float
    closing: int = 0
    saving: float = 0.0
    clock: Callable[[], float] = time.monotonic
    told: bool = False
    started: float | None = None
    gaps: list[float] = field(default_factory=list)
    _last: float = 0.0

    def start(self, run: TrainingState) -> None:
        """Training is about to begin; if there is no time left for it, it does not."""
        self.started = self._last = self.clock()
        if self._last > self.end:
            self.told = True
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
        if now + needed > self.end and not self.told:
            self.told = True
            signal.raise_signal(signal.SIGTERM)

    @property
    def typical(self) -> float:
        """Seconds of an episode, the median; the first holds preparations."""
        steady = sorted(self.gaps[1:] or self.gaps)
        return steady[len(steady) // 2]

    def close(self) -> None:
        """Nothing to close."""


def run_until(
    config: dict[str, Any],
    path: str,
    end: float,
    bytes_saved: int,
    clock: Callable[[], float] = time.monotonic,
) -> TimedRun:
    """Run until finished or out of time; failures are reported rather than raised.

    Args:
        config: the run, as JSON, so that it travels to another process.
        path: its folder.
        end: time of `clock` that must not be passed.
        bytes_saved: size of a checkpoint.
        clock: seconds, the same in all processes of a machine.
    """
    from llm.training.loop import run

    wanted = RunConfig.from_json(config)
    closing = wanted.num_documents if "pairwise" in wanted.probes else 0
    deadline = Deadline(end, closing, bytes_saved / _DISK, clock)
    began = clock()
    message = ""
    try:
        run(wanted, Path(path), trackers=[deadline])
        state = "finished"
    except Interrupted:
        state = "paused" if deadline.told else "stopped"
    except InputError as error:
        state, message = "failed", str(error)
    except Exception as error:  # one run's failure must not end the campaign
        state = "failed"
        message = f"{type(error).__name__}: {first_line(error)}"
    _free()
    seconds = clock() - began
    setup = seconds if deadline.started is None else deadline.started - began
    return TimedRun(state, seconds, setup, deadline.typical if deadline.gaps else None, message)


def _free() -> None:
    """Give the device's memory back before the next run asks for it."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
