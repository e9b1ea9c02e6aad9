"""What never was ours in the place of what is: arrays, JSON, bytes, and words on the command line."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import random
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.torture.attacks import folder
from tests.torture.damage import attempt, files, prepared
from tests.torture.scenes import CONTEXT
from tests.torture.table import Row
from toymodel import InputError, LossMatrix

_LONGEST = 300  # seconds that one input may take

Case = tuple[str, Callable[[], Any]]

ODD: tuple[Any, ...] = (
    None, True, -1, 0, 2.5, 1e308, float("inf"), float("nan"), 10**400, "", "x", "\ud800", "\0", [], [[]], {},
    {"a": 1}, ["x"] * 3, [1e400], 2**63, -(2**63), "five", "../..", "/dev/null",
)  # fmt: skip


def malformed(number: int, seed: int) -> list[Row]:
    """A quarter of each kind, in a process of its own, in which a library's crash could not hide."""
    rows = []
    with folder() as root:
        prepared(root)
        for kind in _KINDS:
            receiver, sender = CONTEXT.Pipe(duplex=False)
            process = CONTEXT.Process(target=_all, args=(kind, number // 4, seed, str(root), sender))
            process.start()
            sender.close()
            said: Any = "nothing yet"
            try:
                while not isinstance(said, Row):
                    if not receiver.poll(_LONGEST):
                        said = _ended(kind, f"no answer in {_LONGEST} s to {said}")
                    else:
                        said = receiver.recv()
            except EOFError:
                said = _ended(kind, f"the process died of {said}")
            process.kill()
            process.join()
            rows.append(said)
    return rows


def _ended(kind: str, how: str) -> Row:
    return Row(f"malformed {kind}", "inputs", tracebacks=1, examples=[how])


def _all(kind: str, number: int, seed: int, root: str, sender: Any) -> None:
    """Says what it is about to try, and in the end what came of all."""
    row = Row(f"malformed {kind}", "inputs")
    for what, action in _KINDS[kind](random.Random(f"{seed} {kind}"), number, Path(root)):
        sender.send(what)
        attempt(row, what, action)
    sender.send(row)


def _arrays(rng: random.Random, number: int, root: Path) -> Iterator[Case]:
    """Archives with members of any type, shape and size, whole and mutated."""
    file = root / "x.npz"
    values, order = np.random.default_rng(0).random((7, 3)), np.tile(np.arange(3), (2, 1))
    losses: list[Any] = [
        values, values * 1j, values.astype("U8"), values.astype("f2"), values[:, :1], values[:0], values[0],
        np.array(["x"]), np.empty((0, 3)), np.full((7, 3), np.nan), values.astype(bool),
    ]  # fmt: skip
    for k in range(number):
        members = {
            "losses": rng.choice(losses),
            "order": rng.choice([order, order + 7, order * 0.5, order[0], values]),
            "meta": np.array(rng.choice(["{}", "[", "1", "x" * 1000, "{" * 50_000])),
        }
        if rng.random() < 0.2:
            shape = rng.choice(["(1000000000, 1000)", "(-1, 3)", "(7, 3)", "3", "(None,)", "(1e9,)"])
            kind = rng.choice(["<f8", "|V0", "|O", "<c16", "|S1"])
            header = f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
            start = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
            with zipfile.ZipFile(file, "w") as archive:
                archive.writestr("losses.npy", start + header + rng.randbytes(rng.randrange(200)))
        else:
            np.savez(file, **({n: members[n] for n in members if rng.random() < 0.8} or {"other": values}))
        if rng.random() < 0.6:
            file.write_bytes(mutate(file.read_bytes(), rng))
        yield f"archive {k}", functools.partial(LossMatrix.load, file)


def _json(rng: random.Random, number: int, root: Path) -> Iterator[Case]:
    """Any value in any place of config and manifest, mostly without checksum, and what is no JSON."""
    from llm.runs.folder import RunFolder
    from llm.runs.show import show_any

    out = root / "unfinished-network" / "run"
    kept = {name: (out / name).read_text() for name in ("config.json", "manifest.json")}
    actions: list[Callable[[], Any]] = [
        functools.partial(show_any, out), functools.partial(show_any, out.parent), RunFolder(out).read_config,
    ]  # fmt: skip
    for k in range(number):
        name = rng.choice(list(kept))
        values = json.loads(kept[name])
        if rng.random() < 0.9:
            del values["checksum"]
        part = rng.choice([v for v in values.values() if isinstance(v, dict)] + [values] * 3)
        part[rng.choice([*part, "new"])] = rng.choice(ODD)
        text = json.dumps(values)
        if rng.random() < 0.1:
            text = rng.choice(
                ["[" * 100_000, '{"a":' * 100_000, "", "null", text[: len(text) // 2], "9" * 6000]
            )
        (out / name).write_bytes(text.encode("utf-8", "surrogatepass"))
        yield f"{name} {k}: {str(part)[:200]}", actions[k % 3]
        for file, before in kept.items():
            (out / file).write_text(before)


def _bytes(rng: random.Random, number: int, root: Path) -> Iterator[Case]:
    """Mutated checkpoints, trajectories, weights, probes, logs, parts and NetCDF files."""
    from tests.torture.damage import finished_network, finished_sweep, unfinished_network, unfinished_sweep

    readers = {"unfinished-network": unfinished_network, "finished-network": finished_network,
               "unfinished-sweep": unfinished_sweep, "finished-sweep": finished_sweep}  # fmt: skip
    for k in range(number):
        name, reader = list(readers.items())[k % 4]
        file = rng.choice(files(root / name))
        kept = file.read_bytes()
        file.write_bytes(mutate(kept, rng))
        yield f"{file.relative_to(root)} {k}", functools.partial(reader, root / name)
        file.write_bytes(kept)


def _words(rng: random.Random, number: int, root: Path) -> Iterator[Case]:
    """Commands with values that no one should give them."""
    import reawaken

    commands = {  # flags, and what keeps it small
        "toy run": ("tasks dim rate epochs inner-steps seed map out schedule embedding fast-rate record",
                    "--tasks 3 --dim 4 --epochs 2"),
        "toy sweep": ("tasks rate similarity seed threads out map epochs", "--tasks 3 --dim 4 --epochs 2"),
        "llm run": ("steps epochs lr num-documents probes width seed documents out", "--dry-run"),
        "llm show": ("", ""),
        "llm collect": ("into sources notes commit", str(root)),
        "llm campaign list": ("out only recorded", "--only fig2b"),
        "llm campaign collect": ("out into", f"--out {root} --into {root}/kept"),
        "fit": ("out", str(root / "missing.npz")),
    }  # fmt: skip
    odd = ["-1", "0", "x", "", "1e400", "nan", "inf", "2.5", "9" * 400, "/dev/null", "/dev/null/x", "\udcff",
           "'", "--", "a\nb", "../..", "::", "1:2:-3", str(root / "missing")]  # fmt: skip
    with contextlib.chdir(root):  # some of them are names of files
        for _ in range(number):
            command = rng.choice(list(commands))
            flags, small = (text.split() for text in commands[command])
            given = [f"--{rng.choice(flags)}"] if flags else []
            argv = [*command.split(), *small, *given, rng.choice(odd)]
            yield f"{' '.join(argv)[:200]!r}", functools.partial(_main, reawaken.main, argv)


def _main(main: Callable[[list[str]], int], argv: list[str]) -> None:
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors):
        code = main(argv)
    if code == 2:
        raise InputError(errors.getvalue().rstrip("\n"), expected="", fix="")
    assert code in (0, 1), code


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Bytes changed, cut off, inserted, left out, zeroed or repeated, up to four times."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed) + 1)
        kind = rng.randrange(6)
        if kind == 0 and changed:
            changed[min(at, len(changed) - 1)] = rng.randrange(256)
        elif kind == 1:
            del changed[at:]
        elif kind == 2:
            changed[at:at] = rng.randbytes(rng.randint(1, 40))
        elif kind == 3:
            del changed[at : at + rng.randint(1, 600)]
        elif kind == 4:
            width = min(rng.randint(1, 4096), len(changed) - at)
            changed[at : at + width] = bytes(width)
        else:
            changed += changed[: rng.randint(1, 200)]
    return bytes(changed)


_KINDS = {
    "arrays in place of a loss matrix": _arrays,
    "values in JSON files of a run": _json,
    "bytes in files of runs and sweeps": _bytes,
    "words on the command line": _words,
}
