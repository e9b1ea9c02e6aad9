"""Optional logging to TensorBoard and Weights & Biases; neither is imported unless asked for.

A tracker listens to a run like a probe does, but measures nothing and belongs to no configuration: the same
run with and without trackers is the same run.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Protocol

from toymodel.base.errors import InputError
from toymodel.base.words import arg

if TYPE_CHECKING:
    from llm.steps.state import TrainingState

__all__ = ["Tracker", "make_trackers"]


class Tracker(Protocol):
    """Something that wants to hear of every episode."""

    def start(self, run: TrainingState) -> None:
        """Called once, before training or right after a checkpoint was restored."""

    def after_episode(self, run: TrainingState, episode: int) -> None:
        """Called after each episode; `episode` counts the finished ones."""

    def close(self) -> None:
        """Called once at the end, after errors and signals too."""


def make_trackers(*, tensorboard: bool = False, wandb: str | None = None) -> list[Tracker]:
    """The trackers that were asked for.

    Args:
        tensorboard: write events to ``tensorboard/`` in the run folder.
        wandb: project to log to.

    Raises:
        InputError: when a package is missing, with the line that installs it.
    """
    found: list[Tracker] = []
    if tensorboard:
        _need("tensorboard", arg("tensorboard"))
        found.append(_TensorBoard(_need("torch.utils.tensorboard", arg("tensorboard")).SummaryWriter))
    if wandb is not None:
        found.append(_WeightsAndBiases(_need("wandb", arg("wandb", wandb)), wandb))
    return found


def _need(module: str, asked: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = "wandb" if module == "wandb" else "tensorboard"
        raise InputError(
            asked + f": {error}", expected=f"the package {package}", fix=f"pip install {package}"
        ) from error


def _scalars(run: TrainingState, episode: int) -> dict[str, float]:
    """Mean loss, and the trained task's before and after; at the end of an epoch its recovery score."""
    from toymodel.measures.losses import LossMatrix
    from toymodel.measures.recovery import recovery_score

    task = int(run.order.flat[episode - 1])
    rows, tasks = run.rows, run.order.shape[1]
    found = {
        "loss/mean": float(rows[episode].mean()),
        "loss/before_training": float(rows[episode - 1, task]),
        "loss/after_training": float(rows[episode, task]),
    }
    epochs, rest = divmod(episode, tasks)
    if rest == 0 and epochs >= 2:
        try:
            score = recovery_score(LossMatrix(rows[: 1 + episode], run.order[:epochs]), epochs - 1)
        except InputError:  # an order that visits no task so often
            return found
        if score:
            found["recovery_score"] = score.value
    return found


class _TensorBoard:
    def __init__(self, writer: Any) -> None:
        self._make = writer
        self._writer: Any = None

    def start(self, run: TrainingState) -> None:
        """Nothing: the first episode tells from where on older events are void."""

    def after_episode(self, run: TrainingState, episode: int) -> None:
        if self._writer is None:
            self._writer = self._make(log_dir=str(run.path / "tensorboard"), purge_step=episode)
        for name, value in _scalars(run, episode).items():
            self._writer.add_scalar(name, value, episode)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class _WeightsAndBiases:
    def __init__(self, module: Any, project: str) -> None:
        self._module, self._project = module, project
        self._run: Any = None

    def start(self, run: TrainingState) -> None:
        # The configuration's hash names the run, so a resumed one goes on in the same place.
        self._run = self._module.init(
            project=self._project,
            id=run.config.id,
            name=run.path.name,
            config=run.config.to_json(),
            dir=str(run.path),
            resume="allow",
        )

    def after_episode(self, run: TrainingState, episode: int) -> None:
        self._run.log(_scalars(run, episode), step=episode)

    def close(self) -> None:
        if self._run is not None:
            self._run.finish()
