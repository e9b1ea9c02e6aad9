"""Bits flipped in every file of ours: what is read afterwards was written so, or is refused in one line."""

from __future__ import annotations

import contextlib
import functools
import io
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import toymodel.sweeps.sweep
from tests.torture.attacks import folder, undisturbed
from tests.torture.scenes import BLOCK, CONFIG, SWEEP, Attack, Child
from tests.torture.table import Row
from toymodel import InputError, sweep

Reader = Callable[[Path], dict[str, Any]]


def prepared(out: Path) -> dict[str, tuple[Path, Reader]]:
    """Experiments in every state, each with a function that reads all there is, by name of the state."""
    states: dict[str, tuple[Path, Reader]] = {}
    for scene, read_rest, read_whole, operation in (
        ("network", unfinished_network, finished_network, 150),
        ("sweep", unfinished_sweep, finished_sweep, 60),
    ):
        rest, whole = out / f"unfinished-{scene}", out / f"finished-{scene}"
        for place in (rest, whole):
            place.mkdir()
        assert Child(scene, rest, Attack(operation=operation)).end().code < 0
        assert Child(scene, whole).end().code == 0
        states |= {f"an unfinished {scene}": (rest, read_rest), f"a finished {scene}": (whole, read_whole)}
    return states


def finished_network(out: Path) -> dict[str, Any]:
    """All that a finished run gives back."""
    from llm.runs.finished import Run
    from llm.runs.folder import RunFolder
    from llm.runs.show import show_run

    run, kept = Run.load(out / "run"), RunFolder(out / "run")
    read: dict[str, Any] = {"config": run.config.to_json(), "manifest": run.manifest}
    read |= {"losses": run.losses.values, "order": run.losses.order, "meta": run.losses.meta}
    for name in CONFIG["probes"]:
        read |= {f"{name}/{key}": values for key, values in run.probe(name).items()}
    read |= {f"weights/{name}": t.numpy() for name, t in (kept.load_weights() or {}).items()}
    show_run(out / "run")
    return read | {f"log/{record['episode']}": record for record in kept.read_log()}


def unfinished_network(out: Path) -> dict[str, Any]:
    """All that an unfinished run goes on with; what belongs to different checkpoints has different names."""
    from llm.runs.folder import RunFolder
    from llm.runs.show import show_run

    kept = RunFolder(out / "run")
    read: dict[str, Any] = {"config": kept.read_config().to_json(), "manifest": kept.read_manifest()}
    read |= {f"log/{record['episode']}": record for record in kept.read_log()}
    if (rows := kept.saved_rows()) is not None:
        read[f"rows/{len(rows)}"] = rows
    checkpoint, _ = kept.load()
    if checkpoint is not None:
        read |= {f"{checkpoint.episode}/{name}": t.numpy() for name, t in checkpoint.flat().items()}
        for state in range(int(checkpoint.probes["pca"]["states"])):
            file = next((out / "run" / "checkpoint" / "trajectories").glob(f"*/{state:06d}.f32"))
            read[f"state/{state}"] = file.read_bytes()
    show_run(out / "run")
    return read


def finished_sweep(out: Path) -> dict[str, Any]:
    """The data set as it is read."""
    data = sweep(SWEEP, epochs=3, record=("recovery", "losses"), path=out / "s.nc", threads=1)
    return {str(name): values.values for name, values in data.variables.items()} | {"attributes": data.attrs}


def unfinished_sweep(out: Path) -> dict[str, Any]:
    """What a stopped sweep comes to, on a copy: parts that are damaged are computed again."""
    toymodel.sweeps.sweep.BLOCK = BLOCK
    with folder() as copy:
        shutil.copytree(out / "s.nc.parts", copy / "s.nc.parts")
        return finished_sweep(copy)


def same(read: Any, expected: Any) -> bool:
    """Equal in every bit; an object may hold more than is expected."""
    if isinstance(read, np.ndarray):
        kind = (read.dtype, read.shape) == (expected.dtype, expected.shape)
        return kind and read.tobytes() == expected.tobytes()
    if isinstance(read, dict):
        return all(same(read.get(key), value) for key, value in expected.items())
    return bool(read == expected)


def with_previous(out: Path, reader: Reader) -> dict[str, Any]:
    """What is read, and what would be read had the newest checkpoint been damaged."""
    read = reader(out)
    newest = out / "run" / "checkpoint" / "newest.safetensors"
    if newest.exists():
        kept = newest.read_bytes()
        newest.write_bytes(b"")
        read = reader(out) | read
        newest.write_bytes(kept)
    return read


def files(out: Path) -> list[Path]:
    """All files below a folder but locks and empty ones."""
    return sorted(p for p in out.rglob("*") if p.is_file() and p.name != ".lock" and p.stat().st_size)


@contextlib.contextmanager
def flipped(file: Path, rng: random.Random) -> Iterator[str]:
    """A file with one bit flipped inside the block; says which."""
    kept = file.read_bytes()
    damaged = bytearray(kept)
    place = rng.randrange(8 * len(damaged))
    damaged[place // 8] ^= 1 << place % 8
    file.write_bytes(damaged)
    yield f"bit {place} of {file.name}"
    if file.parent.is_dir():
        file.write_bytes(kept)


def flips(number: int, seed: int) -> list[Row]:
    """One bit in every file in turn; then runs that go on with a bit flipped in what they go on from."""
    rng, rows = random.Random(seed), []
    whole = undisturbed("network")
    with folder() as root:
        for name, (out, reader) in prepared(root).items():
            rows.append(row := Row(f"a bit flipped in {name}", "flips"))
            expected, targets = with_previous(out, reader), files(out)
            for k in range(number // 4):
                with flipped(targets[k % len(targets)], rng) as what:
                    attempt(row, what, functools.partial(reader, out), expected)
        rows.append(row := Row("a network gone on with after a flip", "flips"))
        for k in range(number // 40):
            with folder() as copy:
                shutil.copytree(root / "unfinished-network" / "run", copy / "run")
                targets = files(copy / "run" / "checkpoint")
                with flipped(targets[k % len(targets)], rng):
                    row.tried += 1
                    row.judge(Child("network", copy).end(), whole)
    return rows


def attempt(row: Row, what: str, action: Callable[[], Any], expected: dict[str, Any] | None = None) -> None:
    """Count how an action ends; what it reads must be what is expected of it, where something is."""
    row.tried += 1
    said, ignored = io.StringIO(), []
    hook, sys.unraisablehook = sys.unraisablehook, ignored.append
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            read = action()
    except InputError as error:
        row.refused += 1
        if "\n" in str(error):
            ignored.append(error)
    except Exception as error:
        ignored.append(error)
    else:
        wrong = [k for k in read if k not in expected or not same(read[k], expected[k])] if expected else []
        if wrong:
            row.wrong += 1
            row.examples.append(f"{what}: {wrong[:5]}")
    finally:
        sys.unraisablehook = hook
    if ignored:
        row.tracebacks += 1
        row.examples.append(f"{what}: {type(ignored[0]).__name__}: {ignored[0]}")
