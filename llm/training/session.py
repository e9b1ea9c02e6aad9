"""One run, opened: everything between a configuration and the loop over its episodes."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llm.config import RunConfig
from llm.runs.finished import Run
from llm.runs.folder import Checkpoint, RunFolder, divergence
from llm.tasks.order import episode_order
from llm.training.environment import Environment
from toymodel.measures.losses import LossMatrix

if TYPE_CHECKING:
    import torch

    from llm.probes import Probe
    from llm.steps.state import TrainingState

__all__ = ["Session", "make_session", "open_session"]


@contextlib.contextmanager
def open_session(
    config: RunConfig, folder: RunFolder, probes: Sequence[Probe] | None = None
) -> Iterator[Session]:
    """The session of `make_session`, with its environment in force inside the block."""
    session = make_session(config, folder, probes)
    with session.environment.active():
        yield session


def make_session(config: RunConfig, folder: RunFolder, probes: Sequence[Probe] | None = None) -> Session:
    """A run with its network built, its tasks read and its probes checked; writes nothing yet.

    Args:
        config: what is run.
        folder: where.
        probes: what to measure; those of the configuration if None.

    Raises:
        InputError: for anything in the configuration that cannot be read, built or fitted into memory.
    """
    from llm.cost.memory import large_pages
    from llm.networks.drawing import drawing_form
    from llm.networks.models import forward_form
    from llm.probes import make_probes
    from llm.registry import make_adapter
    from llm.runs.manifest import describe
    from llm.steps.graph import make_step
    from llm.steps.optimizers import make_optimizer
    from llm.steps.state import TrainingState

    large_pages()
    environment = Environment.of(config, folder)
    device = environment.device
    with environment.active():
        adapter = make_adapter(config, device)
        step = make_step(config, adapter, make_optimizer(config, adapter.model), device)
        order = episode_order(config)
        rows = {name: np.zeros((1 + order.size, adapter.tasks)) for name in ("losses", *adapter.extra)}
        state = TrainingState(config, adapter, step, order, rows["losses"], folder.path, device)
        chosen = list(make_probes(config) if probes is None else probes)
        for probe in chosen:
            probe.check(state)
        manifest = describe(config, adapter, device) | {
            "weights": drawing_form(adapter.model, config),
            "forward": forward_form(adapter.model, config),
            "steps": step.optimizer.form,
        }
    return Session(state, folder, environment, chosen, rows, manifest)


@dataclass
class Session:
    """A run from its first episode to its last, in whatever pieces.

    What follows works inside `environment.active()`, which the caller enters: several sessions may take
    turns in a process.

    Attributes:
        state: configuration, adapter, step and losses, as probes and trackers see them.
        folder: where the run is kept.
        environment: arithmetic, threads, random state and stream of the run.
        probes: what is measured beside the losses.
        rows: losses so far by evaluation (``losses`` and the adapter's extra ones), float64, each of shape
            ``(1 + E*T, T)``.
        manifest: what the run is made with.
        done: episodes finished.
    """

    state: TrainingState
    folder: RunFolder
    environment: Environment
    probes: list[Probe]
    rows: dict[str, NDArray[np.float64]]
    manifest: dict[str, Any]
    done: int = 0
    _found: dict[str, torch.Tensor] = field(default_factory=dict)

    @property
    def episodes(self) -> int:
        """Episodes of the whole run, E*T."""
        return self.state.order.size

    def begin(self) -> None:
        """Go on from the folder's newest checkpoint, or evaluate before the first episode.

        The folder must have been claimed.
        """
        if self.folder.read_manifest():
            self.check_same_input()
        else:
            self.folder.write_manifest(self.manifest)
        self._resume()
        if not self.done:
            self._start_evaluation()
            self._end_evaluation(0)
            from llm.runs.manifest import doubts

            for doubt in doubts(self.state.config, self.manifest, float(self.rows["losses"][0].mean())):
                print(f"reawaken: {doubt}", file=sys.stderr)

    def check_same_input(self) -> None:
        """That tasks and initial weights are those that the folder's manifest names, which is kept.

        Raises:
            InputError: which of them has changed.
        """
        from llm.runs.manifest import check_same_input

        before = self.folder.read_manifest()
        check_same_input(before, self.manifest, self.folder.path)
        self.manifest = before

    def start_episode(self) -> None:
        """Train the next episode and evaluate all tasks after it; a GPU goes on with it after the return."""
        config, step = self.state.config, self.state.step
        if config.reset_optimizer:
            step.reset_optimizer()
        step.train(int(self.state.order.flat[self.done]), config.steps, self.done)
        self._start_evaluation()

    def end_episode(self) -> int:
        """Wait for the episode that was started and note its losses; the task that was trained.

        Raises:
            InputError: when a loss is no longer finite.
        """
        self._end_evaluation(1 + self.done)
        self.done += 1
        return int(self.state.order.flat[self.done - 1])

    def checkpoint(self) -> Checkpoint:
        """The run as it stands."""
        keep_moments = not self.state.config.reset_optimizer
        return Checkpoint(
            self.done,
            {name: values[: 1 + self.done] for name, values in self.rows.items()},
            _trained(self.state.model),
            self.state.step.optimizer.state() if keep_moments else {},
            {probe.name: probe.state() for probe in self.probes},
            self.folder.trajectories(),
        )

    def load(self, weights: dict[str, torch.Tensor], moments: dict[str, torch.Tensor]) -> None:
        """Put weights and the optimizer's state in place."""
        import torch

        with torch.no_grad():
            for name, tensor in _trained(self.state.model).items():
                tensor.copy_(weights[name])
        self.state.step.optimizer.load_state(moments)

    def measure(self, suffixes: dict[str, str] | None = None) -> list[Path]:
        """Let every probe finish; the files written.

        Args:
            suffixes: what to append to the names of files, by probe.
        """
        written = []
        for probe in self.probes:
            name = probe.name + (suffixes or {}).get(probe.name, "")
            self.folder.write_probe(name, probe.finish(self.state))
            written.append(self.folder.path / "probes" / f"{name}.npz")
        return written

    def finish(self, keep_weights: bool = False) -> Run:
        """Write the loss matrices, the last of which marks the run as finished.

        Args:
            keep_weights: leave the trained weights in the folder too.
        """
        from llm.runs.manifest import now

        config, order = self.state.config, self.state.order
        meta = {"config": config.to_json(), "tasks_sha256": self.manifest["tasks"]["sha256"]}
        matrices = {name: LossMatrix(values, order, meta) for name, values in self.rows.items()}
        self.manifest |= {"execution": self.state.step.execution, "finished": now()}
        self.folder.write_manifest(self.manifest)
        if keep_weights:
            self.folder.save_weights(_trained(self.state.model))
        losses = matrices.pop("losses")
        self.folder.finish(losses, matrices)
        return Run(config, self.manifest, self.folder.path)

    def _resume(self) -> None:
        """Put the newest checkpoint in place, if there is one."""
        checkpoint, note = self.folder.resume()
        if note:
            print(f"reawaken: {note}", file=sys.stderr)
        self.done = checkpoint.episode if checkpoint else 0
        if checkpoint:
            for name, values in checkpoint.rows.items():
                self.rows[name][: 1 + self.done] = values
            self.load(checkpoint.weights, checkpoint.optimizer)
            for probe in self.probes:
                probe.load_state(checkpoint.probes.get(probe.name, {}))

    def _start_evaluation(self) -> None:
        self._found = {"losses": self.state.step.evaluate()}
        self._found |= {name: losses() for name, losses in self.state.adapter.extra.items()}

    def _end_evaluation(self, row: int) -> None:
        for name, losses in self._found.items():
            self.rows[name][row] = losses.cpu().numpy()
        if not np.isfinite(self.rows["losses"][row]).all():
            self.folder.write_manifest(self.manifest | {"diverged": row})
            raise divergence(self.state.config, row)


def _trained(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Everything training changes: parameters that are not frozen, each once if shared, and buffers."""
    weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
    return weights | dict(model.named_buffers())
