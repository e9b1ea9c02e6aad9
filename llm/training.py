"""The one training loop: episodes in order, M steps each, all documents evaluated after every one."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llm.config import RunConfig
from llm.store import Checkpoint, RunFolder
from toymodel.errors import InputError
from toymodel.losses import LossMatrix, cyclic_order
from toymodel.recovery import RecoveryScore, intervals, recovery_scores

if TYPE_CHECKING:
    import torch

    from llm.documents import Documents

__all__ = ["Interrupted", "Run", "run"]

# A checkpoint is written when this many times its own cost has passed: at most 5% of a run goes into saving.
_SAVE_EVERY = 20


class Interrupted(KeyboardInterrupt):
    """A signal stopped the run after a checkpoint; starting it again goes on from there."""


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        config: what was run.
        losses: the loss matrix.
        manifest: versions, device, hashes and times.
        path: the run folder.
    """

    config: RunConfig
    losses: LossMatrix
    manifest: dict[str, Any]
    path: Path

    def recovery(self) -> list[RecoveryScore]:
        """Recovery score of every epoch (paper eq. 1)."""
        return recovery_scores(self.losses)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Run:
        """Read a finished run folder."""
        folder = RunFolder(path)
        losses = LossMatrix.load(path)
        return cls(folder.read_config(), losses, folder.read_manifest(), folder.path)


def run(config: RunConfig, out: str | os.PathLike[str], *, progress: bool = False) -> Run:
    """Train cyclically and record the loss matrix in a run folder; resume one that was cut short.

    A finished run of the same configuration is returned as it is. On the CPU the result is bitwise the
    same whether or not, and wherever, the run was interrupted (same machine, versions and thread count).

    Args:
        config: what to run.
        out: the run folder.
        progress: show a progress bar with the running recovery score on standard error.

    Raises:
        InputError: for anything in the configuration or the folder that cannot be used.
        Interrupted: after SIGINT or SIGTERM, with a checkpoint written.
    """
    folder = RunFolder(out)
    if folder.finished:
        folder.open(config)
        return Run.load(out)
    import torch

    from llm.documents import load_documents
    from llm.models import build_model, weight_hash
    from llm.step import EagerStep, make_optimizer

    device = _device(config)
    documents = load_documents(config)
    model = build_model(config, documents.vocabulary)
    folder.open(config)
    manifest = folder.read_manifest()
    if manifest:
        _check_same_input(folder, manifest, documents)
        torch.set_num_threads(int(manifest["threads"]))
    else:
        manifest = _manifest(device, documents, weight_hash(model))
        folder.write_manifest(manifest)

    model.to(device)
    optimizer = make_optimizer(config, [p for p in model.parameters() if p.requires_grad])
    step = EagerStep(
        model,
        optimizer,
        torch.from_numpy(documents.tokens).to(device),
        torch.from_numpy(documents.labels).to(device),
    )
    order = cyclic_order(config.num_documents, config.epochs)
    rows = np.empty((1 + order.size, config.num_documents))
    checkpoint, note = folder.load()
    if note:
        print(f"reawaken: {note}", file=sys.stderr)
    if checkpoint is None:
        done = 0
        rows[0] = step.evaluate().cpu().numpy()
    else:
        done = checkpoint.episode
        rows[: 1 + done] = checkpoint.rows
        model.load_state_dict(checkpoint.parameters)
        _load_optimizer_state(optimizer, checkpoint.optimizer)
    folder.rewind_log(done)

    def save() -> float:
        state = {} if config.reset_optimizer else _optimizer_state(optimizer)
        return folder.save(Checkpoint(done, rows[: 1 + done], model.state_dict(), state))

    saved_at, cost = time.monotonic(), 0.0
    with _signals() as stop, _bar(order.size, done, progress) as bar:
        for episode in range(done, order.size):
            if config.reset_optimizer:
                step.reset_optimizer()
            step.train(int(order.flat[episode]), config.steps)
            rows[1 + episode] = step.evaluate().cpu().numpy()
            if not np.isfinite(rows[1 + episode]).all():
                raise InputError(
                    f"--lr {config.lr}: the loss is no longer finite after episode {episode + 1}",
                    expected="a learning rate at which training is stable",
                    fix=f"--lr {config.lr / 3:.1g} with a new --out folder",
                )
            done = episode + 1
            folder.log(
                {"episode": done, "document": int(order.flat[episode]), "mean_loss": float(rows[done].mean())}
            )
            if stop:
                save()
                raise Interrupted(
                    f"stopped after episode {done} of {order.size}; the same command goes on from there"
                )
            if time.monotonic() - saved_at >= _SAVE_EVERY * cost and done < order.size:
                cost, saved_at = save(), time.monotonic()
            bar.set_postfix_str(_running_score(rows, order, done), refresh=False)
            bar.update()
    manifest["finished"] = _now()
    losses = LossMatrix(rows, order, {"config": config.to_json(), "documents_sha256": documents.sha256})
    folder.write_manifest(manifest)
    folder.finish(losses)
    return Run(config, losses, manifest, folder.path)


def _running_score(rows: np.ndarray, order: np.ndarray, done: int) -> str:
    """Recovery score of the current epoch over the documents that have returned in it so far."""
    tasks = order.shape[1]
    epoch = (done - 1) // tasks
    if epoch == 0:
        return "recovery score: from epoch 2 on"
    padded = rows[: 1 + (epoch + 1) * tasks].copy()
    padded[1 + done :] = rows[done]
    part = intervals(LossMatrix(padded, order[: epoch + 1]), epoch)
    back = np.isin(part.task, order.ravel()[epoch * tasks : done])
    after, peak, before = (float(v[back].mean()) for v in (part.after, part.peak, part.before))
    return f"recovery score {(peak - before) / (peak - after):.2f}" if peak > after else "nothing forgotten"


def _device(config: RunConfig) -> torch.device:
    import torch

    if config.device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "--device cuda", expected="a machine with a CUDA GPU that torch can use", fix="--device cpu"
        )
    return torch.device("cuda" if config.device != "cpu" and torch.cuda.is_available() else "cpu")


def _check_same_input(folder: RunFolder, manifest: dict[str, Any], documents: Documents) -> None:
    if manifest["documents"]["sha256"] != documents.sha256:
        raise InputError(
            f"the documents of run folder {str(folder.path)!r} have changed since it was started",
            expected=f"tokens with hash {manifest['documents']['sha256'][:12]}..., found {documents.sha256[:12]}...",
            fix="restore the documents (and Python version), or start again in another folder",
        )


def _manifest(device: torch.device, documents: Documents, weights: str) -> dict[str, Any]:
    import torch

    versions = {name: metadata.version(name) for name in ("numpy", "torch", "transformers", "tokenizers")}
    return {
        "started": _now(),
        "versions": {"python": platform.python_version()} | versions,
        "git_commit": _git_commit(),
        "device": torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"cpu ({platform.machine()})",
        "precision": "float32",
        "matmul_precision": torch.get_float32_matmul_precision(),
        "threads": torch.get_num_threads(),
        "initial_weights_sha256": weights,
        "documents": {"names": list(documents.names), "sha256": documents.sha256, "padded": documents.padded},
    }


def _git_commit() -> str | None:
    """Commit of this source tree; None where it is installed without one."""
    try:
        root = Path(__file__).parent.parent
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, timeout=5
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    state = optimizer.state_dict()["state"]
    return {f"{index}.{key}": value for index, values in state.items() for key, value in values.items()
            if value is not None}  # fmt: skip


def _load_optimizer_state(optimizer: torch.optim.Optimizer, stored: dict[str, torch.Tensor]) -> None:
    if not stored:
        return
    whole = optimizer.state_dict()
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in stored.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict(whole | {"state": state})


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM so that an episode ends and is saved; a second one stops at once."""
    received: list[int] = []

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


def _bar(total: int, done: int, show: bool) -> Any:
    from tqdm import tqdm

    return tqdm(total=total, initial=done, desc="episodes", disable=None if show else True, file=sys.stderr)
