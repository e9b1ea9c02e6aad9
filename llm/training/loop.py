"""The one training loop: episodes in order, M steps each, all tasks evaluated after every one.

A run is a generator that hands over whenever its device has something to do. One run alone is driven to its
end; several take turns, so that on a GPU, where each has a stream of its own, their episodes overlap.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm.config import RunConfig
from llm.runs.finished import Run, running_score
from llm.runs.folder import RunFolder
from llm.training.interrupt import Interrupted, signals
from llm.training.saving import CheckpointWriter, SavePolicy, ShareOfTime
from llm.training.session import Session, make_session
from toymodel.base.errors import InputError
from toymodel.base.words import arg

if TYPE_CHECKING:
    from llm.probes import Probe
    from llm.runs.tracking import Tracker

__all__ = ["Interrupted", "Job", "Run", "check_together", "run", "run_together"]

# Each run takes two streams of a GPU, and torch has 32 that it hands out in turn: two runs that shared one
# would share the memory in which its matrix products work.
_MOST = 16

# Yields when it is ready to train, then whenever an episode is under way, and True when all are trained.
_Turns = Generator[bool, None, Run]


@dataclass(frozen=True)
class Job:
    """What to run, and where.

    Attributes:
        config: what to run.
        out: the run folder.
        trackers: what else is to hear of every episode; see `llm.runs.tracking`.
        keep_weights: leave the trained weights in the run folder, for probes later on.
        saving: when to write checkpoints; at most a twentieth of the time goes into them if None.
    """

    config: RunConfig
    out: str | os.PathLike[str]
    trackers: Sequence[Tracker] = ()
    keep_weights: bool = False
    saving: SavePolicy | None = None


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
    (found,) = run_together([Job(config, out, trackers, keep_weights, saving)], progress=progress)
    if isinstance(found, BaseException):
        raise found
    return found


def run_together(jobs: Sequence[Job], *, progress: bool = False) -> list[Run | Exception | Interrupted]:
    """Run several configurations side by side in this process, each to the numbers that it has alone.

    They take turns by the episode. On a GPU, which one small network does not fill, each works on a stream
    of its own; on a CPU nothing is gained. Every run has its own folder, lock, checkpoints and log, and one
    that fails does not stop the others. Runs of one size suit each other best: a turn takes as long as the
    longest.

    Args:
        jobs: the runs, in folders of their own.
        progress: show a progress bar for each on standard error.

    Returns:
        For every job its run, or what it failed with: `Interrupted` after SIGINT or SIGTERM, with a
        checkpoint written.

    Raises:
        InputError: for too many.
        Interrupted: when a signal came before any of them was trained.
    """
    check_together(len(jobs))
    stop: list[int] = []
    found: dict[int, Run | Exception | Interrupted] = {}
    turns = {k: _turns(job, stop, k, len(jobs), progress) for k, job in enumerate(jobs)}
    trained = dict.fromkeys(turns, False)

    def take_turns() -> None:
        for number, turn in list(turns.items()):
            try:
                trained[number] = next(turn)
            except StopIteration as end:
                found[number] = end.value
            except (Exception, Interrupted) as error:
                if isinstance(error, Interrupted) and not training:
                    raise  # a signal before there was anything to save
                found[number] = error
            else:
                continue
            del turns[number], trained[number]

    try:
        training = False
        take_turns()
        training = True
        with signals(stop):
            while not all(trained.values()):
                take_turns()
        take_turns()  # what is left is measured; a signal may cut that short, and it starts again
    finally:
        for turn in turns.values():
            turn.close()
    return [found[number] for number in range(len(jobs))]


def check_together(number: int) -> None:
    """Refuse a number of runs that cannot go side by side."""
    if not 1 <= number <= _MOST:
        raise InputError(arg("together", number), expected=f"from 1 to {_MOST} runs side by side",
                         fix=arg("together", min(max(number, 1), _MOST)))  # fmt: skip


def _turns(job: Job, stop: list[int], number: int, together: int, progress: bool) -> _Turns:
    """A run, in pieces.

    Args:
        job: what to run.
        stop: signals that have been received.
        number: of the run among those side by side, from 0.
        together: how many these are.
        progress: show a progress bar.
    """
    config = job.config
    if not isinstance(config, RunConfig):
        raise InputError(f"a run of a {type(config).__name__}", expected="a RunConfig",
                         fix="llm.run(RunConfig.from_json(values), out)")  # fmt: skip
    folder = RunFolder(job.out)
    if folder.check(config) and folder.finished:
        if job.keep_weights and not folder.keeps_weights:
            raise InputError(
                arg("keep_weights")
                + f" of run folder {str(folder.path)!r}, which has finished without its weights",
                expected="a run that is trained: weights that were not kept are gone",
                fix="run it again with " + arg("keep_weights") + " in another folder",
            )
        folder.tidy()
        return Run.load(job.out)
    folder.check_ready(config)
    session = make_session(config, folder)
    if together > 1:
        session.manifest["together"] = together
    with folder.claim(config):
        if folder.finished:  # by a process that held the folder until now
            return Run.load(job.out)
        with session.environment.active():
            session.begin()
        yield False
        yield from _train(session, job, stop, _bar(session, progress, number, together))
        with session.environment.active():
            session.measure()
            return session.finish(job.keep_weights)


def _train(session: Session, job: Job, stop: list[int], bar: Any) -> Generator[bool, None, None]:
    """All episodes that are left."""
    state, folder, saving = session.state, session.folder, job.saving or ShareOfTime()
    listeners: list[Probe | Tracker] = [*session.probes, *job.trackers]
    writer = CheckpointWriter(folder, saving)
    with bar, writer.closing(), contextlib.ExitStack() as ending:
        for tracker in job.trackers:
            ending.callback(tracker.close)
        saving.start()
        with session.environment.active():
            for listener in listeners:
                listener.start(state)
        while session.done < session.episodes:
            with session.environment.active():
                session.start_episode()
            yield False
            with session.environment.active():
                task = session.end_episode()
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
            if not bar.disable:
                bar.set_postfix_str(running_score(state.rows, state.order, session.done), refresh=False)
            bar.update()
    yield True


def _bar(session: Session, show: bool, number: int, together: int) -> Any:
    from tqdm import tqdm

    return tqdm(
        total=session.episodes,
        initial=session.done,
        desc="episodes" if together == 1 else session.folder.path.name,
        position=number,
        disable=None if show else True,
        file=sys.stderr,
    )
