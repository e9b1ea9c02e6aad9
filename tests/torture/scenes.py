"""What is tortured: a small network with probes and kept weights, and a small sweep."""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import toymodel.sweeps.sweep
from toymodel import InputError, sweep

CONFIG: dict[str, Any] = {
    "width": 16, "depth": 1, "heads": 2, "feed_forward": 16, "num_documents": 3, "context": 8, "steps": 1,
    "epochs": 3, "lr": 0.01, "optimizer": "adam", "reset_optimizer": False, "mask_probability": 0.3,
    "probes": ("pca", "updates"), "device": "cpu",
}  # fmt: skip
RATES = np.linspace(0.001, 0.02, 16).tolist()
SWEEP: dict[str, Any] = {"rate": RATES, "rho": [0.0, 0.1], "tasks": 3, "dimension": 9}
BLOCK = 8

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["tests.torture.warm", "torch", "h5netcdf", "llm.training.loop", "toymodel.kernels",
     "transformers.models.gpt_neox.modeling_gpt_neox"]
)  # fmt: skip


def network(out: Path) -> None:
    """Run or go on with the network."""
    import torch

    import llm
    from llm.training.saving import AfterEpisodes

    torch.set_num_threads(1)
    llm.run(llm.RunConfig(**CONFIG), out / "run", saving=AfterEpisodes(1), keep_weights=True)


def toy(out: Path) -> None:
    """Run or go on with the sweep."""
    toymodel.sweeps.sweep.BLOCK, toymodel.sweeps.sweep.FLUSH_SECONDS = BLOCK, 0.0
    sweep(SWEEP, epochs=3, record=("recovery", "losses"), path=out / "s.nc", threads=1)


SCENES = {"network": network, "sweep": toy}


def found(scene: str, out: Path) -> str:
    """Hashes of all numbers that a finished experiment gives back, and what is in its folder."""
    arrays: dict[str, Any] = {}
    if scene == "network":
        from llm.runs.finished import Run
        from llm.runs.folder import RunFolder

        run, folder = Run.load(out / "run"), RunFolder(out / "run")
        arrays |= {"losses": run.losses.values, "order": run.losses.order}
        for name in CONFIG["probes"]:
            arrays |= {f"{name}/{key}": values for key, values in run.probe(name).items()}
        weights = folder.load_weights() or {}
        arrays |= {f"weights/{name}": tensor.numpy() for name, tensor in weights.items()}
        arrays["log"] = np.array([(r["episode"], r["mean_loss"]) for r in folder.read_log()])
        left = sorted(p.name for p in (out / "run").iterdir())
    else:
        data = sweep(SWEEP, epochs=3, record=("recovery", "losses"), path=out / "s.nc", threads=1)
        arrays |= {str(name): values.values for name, values in data.items()}
        left = sorted(p.name for p in out.iterdir())
    hashes = {"left": ", ".join(left)}
    for name, values in sorted(arrays.items()):
        state = hashlib.sha256(f"{values.dtype}{values.shape}".encode())
        state.update(np.ascontiguousarray(values).tobytes())
        hashes[name] = state.hexdigest()
    return json.dumps(hashes)


@dataclass
class End:
    """How a child process ended.

    Attributes:
        code: 0 when it finished, 2 when it was refused in one line, 3 when the machine failed it, minus the
            signal that killed it; anything else is a traceback.
        said: what was said, or the hashes that were found, as JSON.
        operations: operations on files that were counted.
    """

    code: int
    said: str
    operations: int


@dataclass
class Attack:
    """What befalls a child.

    Attributes:
        operation: kill it before this operation on a file of its folder, counted from 1.
        seconds: kill it after so long.
        file_size: largest file it can write, bytes.
    """

    operation: int | None = None
    seconds: float | None = None
    file_size: int | None = None


class Child:
    """One process that computes a scene in a folder, and reads what it found if it got through.

    Args:
        scene: which.
        out: the folder.
        attack: what befalls it.
    """

    def __init__(self, scene: str, out: Path, attack: Attack | None = None) -> None:
        self._said, writer = CONTEXT.Pipe(duplex=False)
        self._attack = attack or Attack()
        self._process = CONTEXT.Process(target=_child, args=(scene, str(out), self._attack, writer))
        self._process.start()
        writer.close()

    def end(self) -> End:
        """Wait for the end."""
        said, operations = "", 0
        with contextlib.suppress(EOFError):  # killed
            said, operations = self._said.recv()
        self._process.join()
        code = self._process.exitcode
        return End(-1 if code is None else code, said, operations)


def _child(scene: str, out: str, attack: Attack, writer: Any) -> None:
    sys.stderr = sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    counted = [0]
    _count(out, attack.operation, counted)
    if attack.file_size is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (attack.file_size, attack.file_size))
    if attack.seconds is not None:
        threading.Thread(target=_die, args=(attack.seconds,), daemon=True).start()
    try:
        SCENES[scene](Path(out))
        said, code = found(scene, Path(out)), 0
    except InputError as error:
        said, code = str(error), 2
    except OSError as error:
        said, code = str(error), 3
    except BaseException as error:
        said, code = f"{type(error).__name__}: {error}", 4
    writer.send((said, counted[0]))
    writer.close()
    os._exit(code)


def _die(seconds: float) -> None:
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGKILL)


_CHANGES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "shutil.rmtree")


def _count(folder: str, last: int | None, counted: list[int]) -> None:
    """Count operations on files of a folder, and end the process right before one of them."""

    def note(path: Any) -> None:
        # Names without a folder are those of shutil.rmtree, which works by handles.
        if isinstance(path, str) and (path.startswith(folder) or os.sep not in path):
            counted[0] += 1
            if counted[0] == last:
                os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _CHANGES and arguments:
            path = arguments[0]
            note(os.fspath(path) if isinstance(path, str | os.PathLike) else path)

    fsync = os.fsync

    def counted_fsync(handle: int) -> None:
        note(folder)
        fsync(handle)

    os.fsync = counted_fsync
    sys.addaudithook(hook)
