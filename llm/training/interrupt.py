"""Stopping a run by a signal, at a moment when nothing is lost."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

__all__ = ["Interrupted", "signals"]


class Interrupted(KeyboardInterrupt):
    """A signal stopped the run after a checkpoint; starting it again goes on from there."""


@contextlib.contextmanager
def signals(received: list[int] | None = None) -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM so that an episode ends and is saved; a second one stops at once.

    Args:
        received: where; a list of its own if None.
    """
    received = [] if received is None else received

    def note(number: int, frame: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    old = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        # Only the main thread may set handlers; elsewhere the run is stopped by whoever owns the thread.
        with contextlib.suppress(ValueError):
            old[number] = signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
