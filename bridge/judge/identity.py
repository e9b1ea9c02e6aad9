"""What is known of a run beside its losses, and what another run of the same network changes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llm.runs.folder import RunFolder
from toymodel import InputError, LossMatrix

__all__ = ["IRRELEVANT", "Change", "Identity", "identify", "relate"]

# What a prediction takes into account.
_MODELLED = {"schedule", "order", "shuffle_until", "reverse_block", "steps", "epochs", "num_documents"}
IRRELEVANT = {"documents", "tokenizer", "device", "probes", "probe_documents", "probe_layer", "precision",
               "evaluate_summaries", "selection"}  # fmt: skip
"""Settings that change no loss that a prediction is about, or only its rounding."""
# What makes it another network.
_NETWORK = ("task", "model", "weights", "width", "depth", "heads", "feed_forward")
# Part by which losses before training may differ: rounding in bfloat16 is a tenth of it.
_BEFORE = 0.05
_SAME = "the same run again"


@dataclass(frozen=True, eq=False)
class Identity:
    """A run's losses and what says which run it was.

    Attributes:
        name: of its folder or file.
        losses: the loss matrix.
        config: settings by name; empty where a file has none.
        documents: names of its documents in order; empty where none are known.
        documents_hash: of all their tokens; empty where it is not known.
    """

    name: str
    losses: LossMatrix
    config: Mapping[str, Any]
    documents: tuple[str, ...] = ()
    documents_hash: str = ""


@dataclass(frozen=True)
class Change:
    """What differs in another run.

    Attributes:
        words: what the prediction takes into account, and what else differs by name.
        documents: numbers of the other's documents in the fitted run; None where they are the same.
        steps: gradient steps an episode over those of the fitted run.
        unmodelled: further settings that differ, of which the prediction knows nothing.
        unchecked: what could not be checked; empty where all could be.
    """

    words: str
    documents: tuple[int, ...] | None = None
    steps: float = 1.0
    unmodelled: tuple[str, ...] = ()
    unchecked: str = ""

    @property
    def nothing(self) -> bool:
        """Whether it is the same run again."""
        return self.words == _SAME


def identify(path: str | os.PathLike[str], losses: LossMatrix) -> Identity:
    """What a run folder, or a file with its meta, says of itself."""
    where = Path(path)
    config = losses.meta.get("config")
    sha = str(losses.meta.get("tasks_sha256") or "")
    names: tuple[str, ...] = ()
    if where.is_dir() and (where / "manifest.json").is_file():
        tasks = RunFolder(where).read_manifest().get("tasks")
        if isinstance(tasks, Mapping):
            names = tuple(str(name) for name in tasks.get("names") or ())
            sha = sha or str(tasks.get("sha256") or "")
    return Identity(
        where.name or str(where), losses, config if isinstance(config, Mapping) else {}, names, sha
    )


def relate(fitted: Identity, other: Identity) -> Change:
    """What the other run changes.

    Raises:
        InputError: where its network is not the fitted run's, or its documents are not, or some of them.
    """
    mine, theirs = fitted.config, other.config
    both = [name for name in mine if name in theirs and mine[name] != theirs[name]]
    if network := [f"{name} {theirs[name]} for {mine[name]}" for name in _NETWORK if name in both]:
        raise InputError(f"{other.name} is another network than {fitted.name} ({', '.join(network)})",
                         expected="a run of the fitted run's network",
                         fix=f"fit it for itself: reawaken fit {other.name}")  # fmt: skip
    kept, unchecked = _documents(fitted, other)
    steps = 1.0
    if "steps" in both:
        steps = float(theirs["steps"]) / float(mine["steps"])
    words = []
    if kept is not None:
        words.append(f"{len(kept)} of {fitted.losses.tasks} documents")
    if "steps" in both:
        words.append(f"{theirs['steps']} steps for {mine['steps']}")
    if other.losses.epochs != fitted.losses.epochs:
        words.append(f"{other.losses.epochs} epochs for {fitted.losses.epochs}")
    shared = min(other.losses.epochs, fitted.losses.epochs)
    if kept is None and not (other.losses.order[:shared] == fitted.losses.order[:shared]).all():
        words.append(f"{theirs.get('schedule', 'another')} order")
    beside = [name for name in both if name not in _MODELLED | IRRELEVANT]
    unmodelled = [f"{name} {theirs[name]} for {mine[name]}" for name in beside]
    before = fitted.losses.values[0] if kept is None else fitted.losses.values[0, list(kept)]
    apart = np.abs(other.losses.values[0] - before).max()
    if not beside and apart > _BEFORE * np.abs(before).max():
        beside.append("losses before training")
        unmodelled.append(f"losses before training: {other.losses.values[0].mean():.4g} in the mean for "
                          f"{before.mean():.4g}, so another network or another unit")  # fmt: skip
    if beside:
        words.append("other " + ", ".join(beside))
    if not words:
        same = np.array_equal(fitted.losses.values, other.losses.values)
        words.append(_SAME if same else "the same settings" if mine and theirs else "of the same order")
    return Change(", ".join(words), kept, steps, tuple(unmodelled), unchecked)


def _documents(fitted: Identity, other: Identity) -> tuple[tuple[int, ...] | None, str]:
    """Which of the fitted run's documents the other has (None: all, in place), and what was not checked."""
    mine, theirs = fitted.losses.tasks, other.losses.tasks
    known = fitted.documents_hash and other.documents_hash
    if known and fitted.documents_hash == other.documents_hash:
        return None, ""
    place = {name: number for number, name in enumerate(fitted.documents)}
    if theirs < mine and other.documents and all(name in place for name in other.documents):
        cut = [name for name in ("context", "tokenizer", "window", "window_shift")
               if fitted.config.get(name) != other.config.get(name)]  # fmt: skip
        if not cut:
            return tuple(place[name] for name in other.documents), ""
    if known or theirs != mine:
        said = "by their number"
        if known:
            said = f"tasks_sha256 {other.documents_hash[:8]} against {fitted.documents_hash[:8]}"
        raise InputError(
            f"{other.name} was trained on other documents than {fitted.name} ({theirs} and {mine}; {said})",
            expected="the fitted run's documents, or some of them",
            fix="predict runs of the same documents: documents, num_documents and seed",
        )
    return None, "that the documents are the same (no hash in one of the files)"
