"""The one training loop: episodes in order, M steps each, all tasks evaluated after every one."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llm.config import RunConfig
from llm.runs.finished import Run, running_score
from llm.runs.folder import RunFolder
from llm.training.interrupt import Interrupted, signals
from llm.training.saving import CheckpointWriter, SavePolicy, ShareOfTime
from llm.training.session import Session, open_session
from toymodel.base.errors import InputError

if TYPE_CHECKING:
    from llm.probes import Probe
    from llm.runs.tracking import Tracker

__all__ = ["Interrupted", "Run", "run"]


def run(
    config: RunConfig,
    out: str | os.PathLike[str],
    *,
    progress: bool = False,
    trackers: Sequence[Tracker] = (),
    keep_weights: bool = False,
    saving: SavePolicy | None = None,
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
        saving: when to write checkpoints; at most a twentieth of the time goes into them if None.

    Raises:
        InputError: for anything in the configuration or the folder that cannot be used.
        Interrupted: after SIGINT or SIGTERM, with a checkpoint written.
    """
    if not isinstance(config, RunConfig):
        raise InputError(f"a run of a {type(config).__name__}", expected="a RunConfig",
                         fix="llm.run(RunConfig.from_json(values), out)")  # fmt: skip
    folder = RunFolder(out)
    if folder.check(config) and folder.finished:
        folder.tidy()
        return Run.load(out)
    folder.check_ready(config)
    with open_session(config, folder) as session, folder.claim(config):
        if folder.finished:  # by a process that held the folder until now
            return Run.load(out)
        session.begin()
        _train(session, saving or ShareOfTime(), trackers, progress)
        session.measure()
        return session.finish(keep_weights)


def _train(session: Session, saving: SavePolicy, trackers: Sequence[Tracker], progress: bool) -> None:
    """All episodes that are left."""
    state, folder = session.state, session.folder
    listeners: list[Probe | Tracker] = [*session.probes, *trackers]
    writer = CheckpointWriter(folder, saving)
    with (
        signals() as stop,
        _bar(session, progress) as bar,
        writer.closing(),
        contextlib.ExitStack() as ending,
    ):
        for tracker in trackers:
            ending.callback(tracker.close)
        saving.start()
        for listener in listeners:
            listener.start(state)
        while session.done < session.episodes:
            task = session.train_episode()
            for listener in listeners:
                listener.after_episode(state, session.done)
            mean = float(state.rows[session.done].mean())
            folder.log({"episode": session.done, "task": task, "mean_loss": mean})
            if stop:
                writer.save(session.checkpoint())
                writer.wait()
                raise Interrupted(f"stopped after episode {session.done} of {session.episodes}; "
                                  "the same command goes on from there")  # fmt: skip
            writer.poll()
            if session.done < session.episodes and saving.due(session.done):
                writer.save(session.checkpoint())
            bar.set_postfix_str(running_score(state.rows, state.order, session.done), refresh=False)
            bar.update()


def _bar(session: Session, show: bool) -> Any:
    from tqdm import tqdm

    return tqdm(
        total=session.episodes,
        initial=session.done,
        desc="episodes",
        disable=None if show else True,
        file=sys.stderr,
    )
