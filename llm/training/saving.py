"""When a run writes a checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["AfterEpisodes", "SavePolicy", "ShareOfTime"]


class SavePolicy(Protocol):
    """Decides after every episode but the last whether to save."""

    def start(self) -> None:
        """Training begins, or goes on."""

    def due(self, done: int) -> bool:
        """Whether to save now that `done` episodes are finished."""

    def saved(self, seconds: float) -> None:
        """A checkpoint has been written, and training waited so long for it."""


@dataclass
class ShareOfTime:
    """Saves as often as costs at most a share of a run's time; the first episode is saved at once.

    Attributes:
        share: of the time; 5% loses little when a run is killed and little when it is not.
        clock: seconds.
    """

    share: float = 0.05
    clock: Callable[[], float] = time.monotonic
    _cost: float = field(default=0.0, init=False)
    _last: float = field(default=0.0, init=False)

    def start(self) -> None:
        """Start the clock."""
        self._last = self.clock()

    def due(self, done: int) -> bool:
        """Once training has taken so long that the last checkpoint's cost is but the share of it."""
        return self.clock() - self._last >= self._cost / self.share

    def saved(self, seconds: float) -> None:
        """Note the cost of the next checkpoint."""
        self._cost, self._last = seconds, self.clock()


@dataclass
class AfterEpisodes:
    """Saves after every so many episodes, whatever it costs.

    Attributes:
        number: episodes from one checkpoint to the next.
    """

    number: int = 1

    def start(self) -> None:
        """Nothing to start."""

    def due(self, done: int) -> bool:
        """By the number of episodes."""
        return done % self.number == 0

    def saved(self, seconds: float) -> None:
        """Nothing to note."""
