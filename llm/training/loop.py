"""The one training loop: episodes in order, M steps each, all tasks evaluated after every one."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from llm.config import RunConfig
from llm.runs.finished import Run, running_score
from llm.runs.folder import Checkpoint, RunFolder
from llm.training.interrupt import Interrupted, signals
from toymodel.base.errors import InputError
from toymodel.measures.losses import LossMatrix
from toymodel.measures.schedules import schedule

if TYPE_CHECKING:
    import torch

    from llm.probes import Probe
    from llm.runs.tracking import Tracker
    from llm.training.state import RunView

__all__ = ["Interrupted", "Run", "episode_order", "run", "run_device", "trained_weights"]

# A checkpoint is written when this many times its own cost has passed: at most 5% of a run goes into saving.
_SAVE_EVERY = 20


def run(
    config: RunConfig,
    out: str | os.PathLike[str],
    *,
    progress: bool = False,
    trackers: Sequence[Tracker] = (),
    keep_weights: bool = False,
) -> Run:
    """Train in the configured order and record the losses in a run folder; resume one that was cut short.

    A finished run of the same configuration is returned as it is. On the CPU the result is bitwise the
    same whether or not, and wherever, the run was interrupted (same machine, versions and thread count).

    Args:
        config: what to run.
        out: the run folder.
        progress: show a progress bar with the running recovery score on standard error.
        trackers: what else is to hear of every episode; see `llm.runs.tracking`.
        keep_weights: leave the trained weights in the run folder, for probes later on.

    Raises:
        InputError: for anything in the configuration or the folder that cannot be used.
        Interrupted: after SIGINT or SIGTERM, with a checkpoint written.
    """
    folder = RunFolder(out)
    if folder.check(config) and folder.finished:
        return Run.load(out)
    from llm.cost.memory import enough_memory, large_pages
    from llm.probes import make_probes
    from llm.runs.manifest import check_same_input, describe, now
    from llm.steps.graph import make_step
    from llm.steps.optimizers import make_optimizer
    from llm.steps.precision import precision
    from llm.tasks.protocol import make_adapter
    from llm.training.state import RunView

    large_pages()
    order = episode_order(config)
    with enough_memory(config), precision(config), _threads(folder), _generator(config):
        device = run_device(config)
        adapter = make_adapter(config, device)
        step = make_step(config, adapter, make_optimizer(config, adapter.model), device)
        probes = make_probes(config)
        rows = {name: np.zeros((1 + order.size, adapter.tasks)) for name in ("losses", *adapter.extra)}
        view = RunView(config, adapter, step, order, rows["losses"], folder.path, device)
        for probe in probes:
            probe.check(view)
        manifest = describe(config, adapter, device)
        folder.open(config)
        if before := folder.read_manifest():
            check_same_input(before, manifest, folder.path)
            manifest = before
        else:
            folder.write_manifest(manifest)

        def evaluate(row: int) -> None:
            found = {"losses": step.evaluate()} | {name: losses() for name, losses in adapter.extra.items()}
            for name, losses in found.items():
                rows[name][row] = losses.cpu().numpy()
            _check_finite(config, rows["losses"][row], row)

        done = _restore(folder, view, probes, rows)
        if not done:
            evaluate(0)
        saved_at, cost = time.monotonic(), 0.0
        with signals() as stop, _bar(order.size, done, progress) as bar, contextlib.ExitStack() as ending:
            for tracker in trackers:
                ending.callback(tracker.close)
            listeners: list[Probe | Tracker] = [*probes, *trackers]
            for listener in listeners:
                listener.start(view)
            for episode in range(done, order.size):
                task = int(order.flat[episode])
                if config.reset_optimizer:
                    step.reset_optimizer()
                step.train(task, config.steps, episode)
                evaluate(1 + episode)
                done = 1 + episode
                for listener in listeners:
                    listener.after_episode(view, done)
                folder.log({"episode": done, "task": task, "mean_loss": float(rows["losses"][done].mean())})
                if stop:
                    _save(folder, view, probes, rows, done)
                    raise Interrupted(
                        f"stopped after episode {done} of {order.size}; the same command goes on from there"
                    )
                if time.monotonic() - saved_at >= _SAVE_EVERY * cost and done < order.size:
                    cost, saved_at = _save(folder, view, probes, rows, done), time.monotonic()
                bar.set_postfix_str(running_score(rows["losses"], order, done), refresh=False)
                bar.update()
        for probe in probes:
            folder.write_probe(probe.name, probe.finish(view))
    meta = {"config": config.to_json(), "tasks_sha256": manifest["tasks"]["sha256"]}
    matrices = {name: LossMatrix(values, order, meta) for name, values in rows.items()}
    manifest["execution"] = step.execution
    manifest["finished"] = now()
    folder.write_manifest(manifest)
    losses = matrices.pop("losses")
    if keep_weights:
        folder.save_weights(trained_weights(adapter.model))
    folder.finish(losses, matrices)
    return Run(config, manifest, folder.path)


def episode_order(config: RunConfig) -> np.ndarray:
    """Task of every episode, int64, shape ``(E, T)``."""
    if config.order is not None:
        return schedule(json.loads(config.order), config.num_documents, config.epochs)
    options: dict[str, dict[str, int | None]] = {
        "middle-shuffled": {"until": config.shuffle_until},
        "locally-reversed": {"block": config.reverse_block},
    }
    chosen = options.get(config.schedule, {})
    return schedule(config.schedule, config.num_documents, config.epochs, config.seed, **chosen)


def _save(
    folder: RunFolder, view: RunView, probes: list[Probe], rows: Mapping[str, np.ndarray], done: int
) -> float:
    """Write a checkpoint; seconds it took."""
    optimizer = {} if view.config.reset_optimizer else view.step.optimizer.state()
    states = {probe.name: probe.state() for probe in probes}
    past = {name: values[: 1 + done] for name, values in rows.items()}
    return folder.save(Checkpoint(done, past, trained_weights(view.model), optimizer, states))


def _restore(folder: RunFolder, view: RunView, probes: list[Probe], rows: Mapping[str, np.ndarray]) -> int:
    """Put the newest checkpoint in place, if there is one; episodes done."""
    import torch

    checkpoint, note = folder.load()
    if note:
        print(f"reawaken: {note}", file=sys.stderr)
    done = checkpoint.episode if checkpoint else 0
    folder.rewind_log(done)
    if checkpoint:
        for name, values in checkpoint.rows.items():
            rows[name][: 1 + done] = values
        with torch.no_grad():
            for name, tensor in trained_weights(view.model).items():
                tensor.copy_(checkpoint.weights[name])
        view.step.optimizer.load_state(checkpoint.optimizer)
        for probe in probes:
            probe.load_state(checkpoint.probes.get(probe.name, {}))
    return done


def trained_weights(model: Any) -> dict[str, torch.Tensor]:
    """Everything training changes: parameters that are not frozen, each once if shared, and buffers."""
    weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
    return weights | dict(model.named_buffers())


def _check_finite(config: RunConfig, losses: np.ndarray, row: int) -> None:
    if not np.isfinite(losses).all():
        raise InputError(
            f"--lr {config.lr}: the loss is no longer finite after episode {row}",
            expected="a learning rate at which training is stable",
            fix=f"--lr {config.lr / 3:.1g} with a new --out folder",
        )


def run_device(config: RunConfig) -> torch.device:
    """Where a run computes.

    Raises:
        InputError: for a GPU that is not there.
    """
    import torch

    if config.device == "cuda":
        from llm.steps.device import require_gpu

        require_gpu()
    return torch.device("cuda" if config.device != "cpu" and torch.cuda.is_available() else "cpu")


@contextlib.contextmanager
def _threads(folder: RunFolder) -> Iterator[None]:
    """As many threads as the run was started with: sums split over another number round differently."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(int(folder.read_manifest().get("threads", before)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _generator(config: RunConfig) -> Iterator[None]:
    """Leave the caller's random state alone; dropout seeds torch's generator at every step."""
    import torch

    with torch.random.fork_rng(enabled=config.dropout):
        yield


def _bar(total: int, done: int, show: bool) -> Any:
    from tqdm import tqdm

    return tqdm(total=total, initial=done, desc="episodes", disable=None if show else True, file=sys.stderr)
