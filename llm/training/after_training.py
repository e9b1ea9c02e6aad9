"""Probes of the weights that a run left: of a finished one, or of a stopped one's checkpoint."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from llm.runs.folder import RunFolder
from llm.training.session import open_session
from toymodel.base.errors import InputError
from toymodel.base.words import arg

__all__ = ["probe_run"]


def probe_run(
    path: str | os.PathLike[str],
    probes: Sequence[Literal["gradients", "pairwise"]],
    layer: str | None = None,
) -> list[Path]:
    """Measure from the weights that a run left.

    A finished run must have kept them (``run(..., keep_weights=True)``); of an unfinished one they are those
    of its newest checkpoint, and the results' names say of which episode. Nothing else there changes.

    Args:
        path: the run folder.
        probes: what to measure.
        layer: whose gradients; the run's own choice if not given.

    Returns:
        The files written to ``probes/``: ``NAME[-LAYER][-episode-K].npz``.

    Raises:
        InputError: for a folder without weights, documents or weights that have changed since, or an unknown
            layer.
    """
    from llm.probes import make_probes

    folder = RunFolder(path)
    config = folder.read_config()
    weights, moments, suffix, rows = folder.load_weights(), {}, "", None
    if weights is None:
        checkpoint, _ = folder.load()
        if checkpoint is None:
            raise InputError(
                f"run folder {str(path)!r} holds no weights",
                expected="one finished with "
                + arg("keep_weights")
                + ", or a checkpoint of an unfinished one",
                fix="run it again with " + arg("keep_weights") + " in another folder",
            )
        weights, moments = checkpoint.weights, checkpoint.optimizer
        rows, suffix = checkpoint.rows["losses"], f"-episode-{checkpoint.episode}"
    chosen = make_probes(
        dataclasses.replace(config, probes=tuple(probes), probe_layer=layer or config.probe_layer)
    )
    with open_session(config, folder, chosen) as session:
        session.check_same_input()
        session.load(weights, moments)
        if rows is not None:
            session.state.rows[: len(rows)] = rows
        return session.measure(
            {p.name: (f"-{layer}" if layer and p.name == "gradients" else "") + suffix for p in chosen}
        )
