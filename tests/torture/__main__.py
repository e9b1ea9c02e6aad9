"""``python -m tests.torture``: all of it, as a table."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import tyro

from tests.torture.attacks import kills, neighbours, starved
from tests.torture.damage import flips
from tests.torture.nonsense import malformed
from tests.torture.table import Row, text


def torture(
    kill: int = 1000, flip: int = 2000, nonsense: int = 2000, crowd: int = 20, starve: int = 20, seed: int = 0
) -> None:
    """Torture what is stored; exit code 1 if anything is not survived.

    Args:
        kill: processes killed.
        flip: bits flipped.
        nonsense: malformed inputs.
        crowd: rounds of three processes on one folder, for each experiment.
        starve: runs without disk, for each experiment.
        seed: of everything random.
    """
    steps: list[tuple[str, int, Callable[[int], list[Row]]]] = [
        ("flips", flip, lambda number: flips(number, seed)),
        ("malformed inputs", nonsense, lambda number: malformed(number, seed)),
        ("neighbours", crowd, neighbours),
        ("full disks", starve, lambda number: starved(number, seed)),
        ("kills", kill, lambda number: kills(number, seed)),
    ]
    rows = []
    for name, number, step in steps:
        began = time.monotonic()
        rows += step(number) if number else []
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    print(text(rows))
    sys.exit(not all(row.good for row in rows))


if __name__ == "__main__":
    tyro.cli(torture)
