"""Probes of the weights that a run left: of a finished one, or of a stopped one's checkpoint."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from llm.runs.folder import RunFolder
from toymodel.base.errors import InputError

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
    import torch

    from llm.probes import make_probes
    from llm.runs.manifest import check_same_input, describe
    from llm.steps.graph import make_step
    from llm.steps.optimizers import make_optimizer
    from llm.steps.precision import precision
    from llm.tasks.protocol import make_adapter
    from llm.training.loop import episode_order, run_device, trained_weights
    from llm.training.state import RunView

    folder = RunFolder(path)
    config = folder.read_config()
    changed = dataclasses.replace(config, probes=tuple(probes), probe_layer=layer or config.probe_layer)
    order = episode_order(config)
    weights, moments, suffix = folder.load_weights(), {}, ""
    rows = np.zeros((1 + order.size, config.num_documents))
    if weights is None:
        checkpoint, _ = folder.load()
        if checkpoint is None:
            raise InputError(
                f"run folder {str(path)!r} holds no weights",
                expected="a finished run with --keep-weights, or a checkpoint of an unfinished one",
                fix="run it again with --keep-weights in another folder",
            )
        weights, moments = checkpoint.weights, checkpoint.optimizer
        rows[: 1 + checkpoint.episode] = checkpoint.rows["losses"]
        suffix = f"-episode-{checkpoint.episode}"
    with precision(config):
        device = run_device(config)
        adapter = make_adapter(config, device)
        check_same_input(folder.read_manifest(), describe(config, adapter, device), folder.path)
        step = make_step(config, adapter, make_optimizer(config, adapter.model), device)
        with torch.no_grad():
            for name, tensor in trained_weights(adapter.model).items():
                tensor.copy_(weights[name])
        step.optimizer.load_state(moments)
        view = RunView(changed, adapter, step, order, rows, folder.path, device)
        chosen = make_probes(changed)
        for probe in chosen:
            probe.check(view)
        written = []
        for probe in chosen:
            name = probe.name + (f"-{layer}" if layer and probe.name == "gradients" else "") + suffix
            folder.write_probe(name, probe.finish(view))
            written.append(folder.path / "probes" / f"{name}.npz")
    return written
