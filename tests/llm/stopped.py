"""Runs in processes of their own, to be stopped from outside.

The processes fork from one server that has loaded the libraries already, so each starts in a moment; a
signal still meets a real process in the middle of its work.
"""

import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

import llm
import llm.runs.folder
from llm.training.loop import Job, run_together
from llm.training.saving import AfterEpisodes
from toymodel import LossMatrix

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["tests.llm.stopped", "torch", "transformers.models.gpt_neox.modeling_gpt_neox"]
)


class Child:
    """A run under way, its standard error in a file beside its folder; or several side by side in folders
    called by their configurations, of which `out` is the parent."""  # noqa: D205, D209

    def __init__(self, config, out, pause=0.0):
        several = isinstance(config, list)
        values = [one.to_json() for one in config] if several else config.to_json()
        self.out = Path(out)
        self._errors = self.out.with_suffix(".stderr")
        self._process = _CONTEXT.Process(target=_train, args=(values, str(out), pause, self._errors))
        self._process.start()

    def wait_for(self, episodes):
        """Return when the run has logged so many episodes."""
        limit = time.monotonic() + 120
        while sum(map(logged, [self.out, *self.out.glob("*/")])) < episodes:
            assert self._process.is_alive(), self.errors
            assert time.monotonic() < limit, "the run does not get on"
            time.sleep(0.005)

    def send(self, number):
        """Send a signal and wait for the end; the exit code."""
        os.kill(self._process.pid, number)
        return self.join()

    def join(self):
        """Wait for the end; the exit code."""
        self._process.join(120)
        return self._process.exitcode

    @property
    def errors(self):
        """What the run has said on standard error."""
        return self._errors.read_text()


def killed_and_whole(config, folder):
    """Losses of a run that is killed on the way and goes on, and of one that nobody stops."""
    whole = Child(config, folder / "whole")
    assert whole.join() == 0, whole.errors
    child = Child(config, folder / "run", 0.05)
    child.wait_for(5)
    assert child.send(signal.SIGKILL) == -signal.SIGKILL
    child = Child(config, folder / "run")
    assert child.join() == 0, child.errors
    return [LossMatrix.load(folder / name).values for name in ("run", "whole")]


def logged(out):
    """Episodes in the log of a run folder."""
    log = Path(out) / "log.jsonl"
    return len(log.read_text().splitlines()) if log.is_file() else 0


def _train(config, out, pause, errors):
    import torch

    sys.stderr = open(errors, "w", buffering=1)  # noqa: SIM115
    os.dup2(sys.stderr.fileno(), 2)
    torch.set_num_threads(1)
    # Each episode is saved, and waits a moment so that a signal meets the run wherever it happens to be.
    log = llm.runs.folder.RunFolder.log

    def slowly(self, record):
        log(self, record)
        time.sleep(pause)

    llm.runs.folder.RunFolder.log = slowly
    if isinstance(config, dict):
        llm.run(llm.RunConfig.from_json(config), out, saving=AfterEpisodes(1))
        return
    configs = [llm.RunConfig.from_json(values) for values in config]
    jobs = [Job(one, Path(out) / one.id, saving=AfterEpisodes(1)) for one in configs]
    for found in run_together(jobs):
        if isinstance(found, BaseException):
            raise found
