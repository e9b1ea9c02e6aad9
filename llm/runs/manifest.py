"""What a run was made with: versions, device, precision, weights and tasks."""

from __future__ import annotations

import datetime
import math
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm.config import RunConfig
from llm.networks.precision import in_force
from toymodel.base.errors import InputError

if TYPE_CHECKING:
    import torch

    from llm.tasks.protocol import TaskAdapter

__all__ = ["check_same_input", "describe", "doubts", "now"]

_PACKAGES = ("numpy", "torch", "transformers", "tokenizers", "datasets", "torchvision")


def describe(config: RunConfig, adapter: TaskAdapter, device: torch.device) -> dict[str, Any]:
    """The manifest of a run that is about to start."""
    import torch

    cuda = device.type == "cuda"
    model = adapter.model
    return {
        "started": now(),
        "config_id": config.id,
        "versions": {"python": platform.python_version()} | _versions(),
        "git_commit": _git_commit(),
        "device": torch.cuda.get_device_name(device) if cuda else f"cpu ({platform.machine()})",
        "threads": torch.get_num_threads(),
        "precision": in_force(config),
        "model": {
            "revision": getattr(getattr(model, "config", None), "_commit_hash", None),
            "parameters": sum(p.numel() for p in model.parameters()),
            "trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
            "sha256": adapter.weights_sha256(),
        }
        | ({"quantization": stored} if (stored := getattr(model, "quantization", None)) else {})
        | ({"unused": unused} if (unused := getattr(model, "unused", None)) else {})
        | (
            {"vocabulary": rows} if (rows := getattr(getattr(model, "config", None), "vocab_size", 0)) else {}
        ),
        "tasks": dict(adapter.data),
    }


def check_same_input(before: dict[str, Any], now: dict[str, Any], folder: Path) -> None:
    """That a run is resumed with the tasks and initial weights it was started with.

    Raises:
        InputError: which of them has changed.
    """
    for part, words in (("tasks", "documents"), ("model", "initial weights")):
        old, new = before.get(part, {}).get("sha256"), now[part]["sha256"]
        if old != new:
            raise InputError(
                f"the {words} of run folder {str(folder)!r} have changed since it was started",
                expected=f"hash {old[:12]}..., found {new[:12]}..." if old else "their hash in manifest.json",
                fix=f"restore the {words} (and the versions in manifest.json), or use another folder",
            )


def doubts(config: RunConfig, manifest: Mapping[str, Any], before: float | None) -> list[str]:
    """What speaks against trained weights being in place as they were trained, a sentence each.

    Args:
        config: of the run.
        manifest: its manifest.
        before: mean loss before training in nats; None where there is none yet.
    """
    model = manifest.get("model", {})
    found, rows = [], model.get("vocabulary", 0)
    if unused := model.get("unused"):
        some = ", ".join(unused[:3]) + ", ..." * (len(unused) > 3)
        found.append(f"the weights' file holds more than this network has ({some})")
    if config.weights == "pretrained" and rows and before is not None and before >= (guess := math.log(rows)):
        found.append(
            f"the trained weights' loss before training, {before:.4g}, is that of a guess among {rows} "
            f"tokens, {guess:.4g}, or worse: is the tokenizer theirs?"
        )
    return found


def now() -> str:
    """The time, UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _versions() -> dict[str, str]:
    installed = {}
    for name in _PACKAGES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed


def _git_commit() -> str | None:
    """Commit of this source tree; None where it is installed without one."""
    try:
        root = Path(__file__).parents[2]
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, timeout=5
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
