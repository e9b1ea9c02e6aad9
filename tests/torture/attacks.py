"""Kills, neighbours and full disks: processes that are stopped, crowded and starved."""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.torture.scenes import SCENES, Attack, Child, End
from tests.torture.table import Row


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder of its own, removed afterwards."""
    path = Path(tempfile.mkdtemp(prefix="torture-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def undisturbed(scene: str) -> End:
    """What nobody disturbs: the hash to be found, and how many operations on files it takes."""
    with folder() as out:
        end = Child(scene, out).end()
    assert end.code == 0, end.said
    return end


def kills(number: int, seed: int) -> list[Row]:
    """Kill before operations on files in turn and at random moments, up to three times a folder; go on."""
    rng = random.Random(seed)
    rows = []
    for scene, share in (("network", 0.6), ("sweep", 0.4)):
        whole = undisturbed(scene)
        rows += [row := Row(f"{scene} killed before an operation on a file", "kills"),
                 timed := Row(f"{scene} killed at a random moment", "kills")]  # fmt: skip
        done, at = 0, 40 * seed
        while done < round(number * share):
            with folder() as out:
                for _ in range(rng.randint(1, 3)):
                    by_operation = rng.random() < 0.7
                    at = 1 + at % whole.operations
                    # What goes on has less to do: later operations may not come, and it is finished.
                    attack = Attack(operation=at) if by_operation else Attack(seconds=rng.uniform(0, 0.6))
                    end = Child(scene, out, attack).end()
                    if end.code == 0:
                        break
                    (row if by_operation else timed).judge(end, whole, killed=True)
                    last = row if by_operation else timed
                    done += 1
                else:
                    last.judge(Child(scene, out).end(), whole)
                    continue
                last = row if by_operation else timed
                last.judge(end, whole)
    return rows


def neighbours(rounds: int) -> list[Row]:
    """Three processes at once on one folder: some finish, others are refused, and what is there is whole."""
    rows = []
    for scene in SCENES:
        whole = undisturbed(scene)
        rows.append(row := Row(f"{scene} by three processes at once", "processes"))
        for _ in range(rounds):
            with folder() as out:
                for child in [Child(scene, out) for _ in range(3)]:
                    end = child.end()
                    row.tried += 1
                    row.judge(end, whole, refused="another process")
                row.judge(Child(scene, out).end(), whole)
    return rows


def starved(rounds: int, seed: int) -> list[Row]:
    """A largest file size, and a full tmpfs where one can be mounted: one line, and it goes on afterwards."""
    rng, rows = random.Random(seed), []
    for scene in SCENES:
        whole = undisturbed(scene)
        rows.append(row := Row(f"{scene} with files cut at a random size", "runs"))
        for _ in range(rounds):
            with folder() as out:
                row.tried += 1
                attack = Attack(file_size=round(10 ** rng.uniform(2, 4.8)))
                row.judge(Child(scene, out, attack).end(), whole, failed=True)
                row.judge(Child(scene, out).end(), whole)
        full = Row(f"{scene} on a full tmpfs", "runs")
        for _ in range(rounds):
            with folder() as out:
                size = f"size={rng.randrange(8, 120)}k"
                mount = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(out)]
                if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
                    break  # not allowed here
                try:
                    full.tried += 1
                    full.judge(Child(scene, out).end(), whole, failed=True, refused="more disk")
                    subprocess.run(["mount", "-o", "remount,size=16m", str(out)], check=True)
                    full.judge(Child(scene, out).end(), whole)
                finally:
                    subprocess.run(["umount", str(out)], check=True)
        if full.tried:
            rows.append(full)
    return rows
