"""Runs the campaign in order within a budget of time, one run at a time or several that share the device."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import sys
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llm.cost.memory import free_memory
from llm.cost.shape import memory_needed, network, shape
from llm.launch.campaign.folder import CAMPAIGN, CampaignFolder
from llm.launch.campaign.listing import states
from llm.launch.campaign.plan import (
    ENTRIES,
    PRETRAINED,
    Entry,
    Planned,
    Precision,
    plan,
    select,
)
from llm.launch.campaign.timed_run import TimedRun, run_until
from llm.launch.campaign.timing import TimeEstimator
from llm.launch.pool import Pool
from llm.steps.device import check_precision, require_gpu
from llm.training.interrupt import Interrupted, signals
from llm.training.loop import check_together
from toymodel.base.errors import InputError
from toymodel.base.words import arg

if TYPE_CHECKING:
    import torch

__all__ = ["Progress", "run_campaign"]

# Runs that are looked at when the first in the queue has no time or memory.
_AHEAD = 6


@dataclass(frozen=True)
class Progress:
    """What a call has done.

    Attributes:
        outcomes: what became of the runs of this call, by name.
        left: names of the selected runs that are not finished.
        too_large: those of them that do not fit into the device's memory.
    """

    outcomes: dict[str, TimedRun]
    left: list[str]
    too_large: list[str]


def run_campaign(
    out: str | os.PathLike[str],
    *,
    budget: float | None = None,
    only: Sequence[str] = (),
    documents: Path | None = None,
    tokenizer: Path | None = None,
    model: Path | None = None,
    precision: Precision | None = None,
    recorded: Sequence[Path] = (),
    workers: int = 1,
    together: int = 1,
    version: int = 2,
    device: Literal["auto", "cpu"] = "auto",
    rehearse: bool = False,
    commit: str = "",
    entries: Sequence[Entry] = ENTRIES,
) -> Progress:
    """Go on with the campaign: resume and start runs in order until all are finished or the time is up.

    Args:
        out: the campaign's folder.
        budget: minutes from now after which this must have returned; None for no limit. A run that would
            not finish is started all the same where an episode fits, and goes on in the next call.
        only: entries, members or runs to take; all if empty.
        documents: a .jsonl file of documents in place of the embedded corpus (see docs/data.md).
        tokenizer: a tokenizer.json file, e.g. Pythia's own.
        model: a .gguf file of a trained network; without it the runs of one are left out.
        precision: of the matrix products of all runs; if None that of the folder, and of a new one ``tf32``
            on a GPU and ``ieee`` on a CPU.
        recorded: folders of finished runs, which are not run again.
        workers: runs at a time, in processes of their own, which share the device where its memory allows.
            Three at a time finished no more than one alone on an H100.
        together: runs of one shape (seeds, orders, rates) side by side in each process, on streams of their
            own, where memory and time allow: for networks that do not fill the device.
        version: of drawing and descending (docs/gpu-campaign.md says why 2); a run that was begun with
            another goes on with that.
        device: ``auto`` needs a GPU, ``cpu`` does without.
        rehearse: tiny runs of every kind, in a folder of their own.
        commit: of this program, where it runs without its repository.
        entries: the campaign.

    Raises:
        InputError: without a usable GPU, for a folder of another campaign, too little memory for any run or
            a budget that is too short for one episode.
        Interrupted: after a signal, with every run saved.
    """
    began = time.monotonic()
    end = float("inf") if budget is None else began + 60 * budget
    check_together(together)
    for name, number, least in (("budget", budget, 0), ("workers", workers, 1)):
        if number is not None and not number >= least:
            raise InputError(arg(name, number), expected=f"at least {least}", fix=arg(name, 1))
    folder, kind = CampaignFolder(Path(out).absolute()), "rehearsal" if rehearse else "campaign"
    precision = precision or folder.precision or ("ieee" if device == "cpu" else "tf32")
    chosen = select(plan(entries, precision=precision, rehearse=rehearse, version=version), only)
    given = folder.check(kind, documents, tokenizer, model, precision)
    if device != "cpu":
        require_gpu("campaign " + arg("device", device))
    check_precision(precision, _torch_device(device))
    recorded = [path.absolute() for path in recorded]
    # Runs name documents and tokenizer without a path, so that they are the same runs in any folder.
    with folder.claim(kind, precision, given), contextlib.chdir(folder.path):
        chosen = _possible(folder, chosen)
        done = _recorded(folder, chosen, recorded)
        chosen = [folder.begun(run, device) for run in chosen if run.name not in done]
        scheduler = _Scheduler(folder, end, workers, together, _torch_device(device), commit)
        return scheduler.run([run for run in chosen if folder.state(run).word != "done"])


class _Scheduler:
    """One call: which runs start when, within the time, the memory and the workers there are."""

    def __init__(
        self,
        folder: CampaignFolder,
        end: float,
        workers: int,
        together: int,
        device: torch.device,
        commit: str,
    ) -> None:
        from llm.cost.device_rates import matrix_rate

        self.folder, self.end, self.workers, self.together = folder, end, workers, together
        self.device, self.commit = device, commit
        self.machine = _machine(device)
        self.rate = matrix_rate(device)
        self.memory = free_memory(device)
        self.outcomes: dict[str, TimedRun] = {}
        self.too_large: list[str] = []

    def run(self, runs: list[Planned]) -> Progress:
        """Start as many as there is time for, each at most once; what is nearest its end first."""
        queue = sorted(runs, key=self._left_if_begun)
        running: dict[Future[list[TimedRun]], list[Planned]] = {}
        stopped = False
        # One alone runs here; more have processes of their own.
        with signals() as received, Pool(self.workers if self.workers > 1 else 0) as pool:
            while True:
                while not stopped and (group := self._next(queue, list(running.values()))):
                    queue = [run for run in queue if run not in group]
                    running[self._start(pool, group)] = group
                if not running:
                    break
                ready, _ = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
                for future in ready:
                    self._note(running.pop(future), future)
                if not stopped and (received or any(a.state == "stopped" for a in self.outcomes.values())):
                    stopped = True
                    pool.stop()
        left = [run.name for run in runs if self.folder.state(run).word != "done"]
        if stopped:
            raise Interrupted(f"stopped; {len(left)} runs are left; the same command goes on from there")
        if runs and not self.outcomes:
            self._explain(runs)
        return Progress(self.outcomes, left, self.too_large)

    def _next(self, queue: list[Planned], running: list[list[Planned]]) -> list[Planned]:
        """The first run for which there are a worker, time, and memory beside those that run; in its group.

        A few runs ahead are looked at: one that can finish in the time that is left goes before one that can
        only begin. What the machine can never hold is said and taken out of the queue.
        """
        if len(running) >= self.workers:
            return []
        taken = sum(self._need(run) for group in running for run in group)
        begins: Planned | None = None
        ahead = 0
        for run in list(queue):
            if reason := self._too_large(run):
                _say(f"{run.name} {reason}: left out")
                self.too_large.append(run.name)
                queue.remove(run)
                continue
            if taken + self._need(run) <= self.memory:
                now = time.monotonic()
                if now + self._times().whole(run.config, self._left(run)) <= self.end:
                    return self._group(run, queue, self.memory - taken)
                if begins is None and now + self._least(run) <= self.end:
                    begins = run
            ahead += 1
            if ahead == _AHEAD:
                break
        return [] if begins is None else [begins]

    def _group(self, first: Planned, queue: list[Planned], memory: int) -> list[Planned]:
        """A run and as many of its shape as may go side by side, fit into memory and disk, and can finish."""
        alike = [run for run in queue if run is not first and shape(run.config) == shape(first.config)]
        disk = shutil.disk_usage(self.folder.path).free // max(1, network(first.config).disk)
        group = [first, *alike][: max(1, min(self.together, memory // max(1, self._need(first)), disk))]
        while len(group) > 1:
            left = max(map(self._left, group))
            if time.monotonic() + self._times().whole(first.config, left, len(group)) <= self.end:
                break
            group.pop()
        return group

    def _too_large(self, run: Planned) -> str:
        """Why the machine cannot hold a run; empty where it can."""
        if self._need(run) > self.memory:
            have = f"{self.machine} has {_gb(self.memory)} free"
            return f"needs about {_gb(self._need(run))} of memory, and {have}"
        size, free = network(run.config).disk, shutil.disk_usage(self.folder.path).free
        if self.folder.state(run).word == "pending" and size > free:
            return f"keeps up to {_gb(size)} on the disk while it runs, and {_gb(free)} are free"
        return ""

    def _need(self, run: Planned) -> int:
        return memory_needed(run.config, self.device)

    def _left(self, run: Planned) -> int:
        """Episodes that a run still has to train."""
        return run.config.num_documents * run.config.epochs - self.folder.state(run).episodes

    def _left_if_begun(self, run: Planned) -> float:
        return self._left(run) if self.folder.state(run).word == "unfinished" else math.inf

    def _least(self, run: Planned) -> float:
        return self._times().least(run.config, self._left(run))

    def _times(self) -> TimeEstimator:
        facts = self.folder.read()["runs"].values()
        return TimeEstimator([fact for fact in facts if fact.get("machine") == self.machine], self.rate)

    def _explain(self, runs: list[Planned]) -> None:
        """Why nothing could be started."""
        possible = [run for run in runs if run.name not in self.too_large]
        if not possible:
            reason = self._too_large(runs[0])
            sizes = [run for run in plan() if run.entry in ("fig2b", "larger") and not self._too_large(run)]
            fits = {run.name: need for run in sizes if (need := self._need(run)) < self._need(runs[0])}
            raise InputError(
                f"{runs[0].name} {reason}",
                expected="room for the weights, a copy of them, and one step's activations",
                fix=arg("only", max(fits, key=lambda name: fits[name])) + ", the next smaller" if fits
                else "a larger machine",
            )  # fmt: skip
        left, least = max(0.0, self.end - time.monotonic()), self._least(possible[0])
        raise InputError(
            arg("budget")
            + f" leaves {left:.0f} s, and {possible[0].name} is estimated to need {least:.0f} s for its "
            "set-up, an episode and a checkpoint",
            expected="time for at least one episode",
            fix=arg("budget", float(f"{(least + 60) / 60:.1f}")),
        )

    def _start(self, pool: Pool, group: list[Planned]) -> Future[list[TimedRun]]:
        for run in group:
            beside = f", beside {len(group) - 1} more" if len(group) > 1 else ""
            _say(f"{run.name} starts, {self.folder.state(run).episodes} episodes done{beside}")
        saved = len(group) * (network(group[0].config).disk // 2)
        return pool.submit(run_until, [(run.config.to_json(), run.name) for run in group], self.end, saved)

    def _note(self, group: list[Planned], future: Future[list[TimedRun]]) -> None:
        try:
            found = future.result()
        except Interrupted:
            found = [TimedRun("stopped", 0.0, 0.0, None)] * len(group)
        except Exception as error:  # a worker died, of lack of memory for example
            found = [TimedRun("failed", 0.0, 0.0, None, f"{type(error).__name__}: {error}")] * len(group)
        for run, one in zip(group, found, strict=True):
            self._note_one(run, one, len(group))

    def _note_one(self, run: Planned, found: TimedRun, together: int) -> None:
        self.outcomes[run.name] = found
        before = self.folder.read()["runs"].get(run.name, {})
        facts: dict[str, Any] = {
            "machine": self.machine,
            "workers": self.workers,
            "seconds": round(before.get("seconds", 0.0) + found.seconds, 3),
        }
        if found.episode_seconds is not None:
            facts |= {
                "operations": TimeEstimator.operations(run.config),
                "parameters": network(run.config).parameters,
                "setup_seconds": round(found.setup_seconds, 3),
                "episode_seconds": round(found.episode_seconds, 6),
                "together": together,
            }
        if self.commit:
            facts["commit"] = self.commit
        self.folder.note(run.name, facts)
        words = f": {found.message}" if found.message else f", {facts['seconds']:.0f} s so far"
        _say(f"{run.name} {found.state}{words}")


def _possible(folder: CampaignFolder, runs: list[Planned]) -> list[Planned]:
    """The runs for which the files are there."""
    given = (folder.path / PRETRAINED).is_file()
    possible = [run for run in runs if given or run.config.model != PRETRAINED]
    if len(possible) < len(runs):
        _say(f"{len(runs) - len(possible)} runs of a trained network wait for one: model=FILE.gguf")
    return possible


def _recorded(folder: CampaignFolder, runs: Sequence[Planned], recorded: Sequence[Path]) -> set[str]:
    """Names of the runs that collections of this campaign, or folders of such runs, already hold."""
    found = set()
    for path in recorded:
        if (path / CAMPAIGN).is_file() and not folder.same_campaign(CampaignFolder(path)):
            _say(f"{path} holds another campaign (its documents, tokenizer or precision differ): "
                 "its runs do not count")  # fmt: skip
            continue
        found |= {name for name, state in states(runs, path).items() if state.word == "done"}
    return found


def _torch_device(device: str) -> torch.device:
    import torch

    return torch.device("cpu" if device == "cpu" else "cuda")


def _machine(device: torch.device) -> str:
    import platform

    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu ({platform.machine()})"


def _gb(number: float) -> str:
    return f"{number / 1e9:.3g} GB"


def _say(text: str) -> None:
    print(f"reawaken: {text}", file=sys.stderr, flush=True)
