"""``reawaken llm campaign ...``, and the same for a machine without tyro."""

from __future__ import annotations

import argparse
import inspect
import re
import sys
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llm.launch.campaign.plan import Precision
from toymodel.base.errors import InputError

if TYPE_CHECKING:
    from llm.launch.campaign.runner import Progress

__all__ = ["COMMANDS", "main"]

_RECORDED = (Path("figures/recorded/campaign"), Path("figures/recorded/h100"))


def run(
    *,
    out: Path,
    budget: float | None = None,
    only: tuple[str, ...] = (),
    documents: Path | None = None,
    tokenizer: Path | None = None,
    model: Path | None = None,
    precision: Precision | None = None,
    recorded: tuple[Path, ...] = _RECORDED,
    workers: int = 1,
    together: int = 1,
    version: int = 2,
    device: Literal["auto", "cpu"] = "auto",
    commit: str = "",
) -> None:
    """Run the experiments that need no download at Pythia's sizes, in order of worth, on one GPU.

    Args:
        out: The campaign's folder; the same command goes on where it stopped.
        budget: Minutes after which everything is saved and the command returns.
        only: Entries, members or runs to take; all if none is named.
        documents: Documents (.jsonl, with .tokenizer.json beside it) in place of the embedded corpus.
        tokenizer: A tokenizer.json file, e.g. Pythia's own.
        model: A .gguf file of a trained network; without it the runs of one are left out.
        precision: Of matrix products; tf32 on a GPU and ieee on a CPU if not given.
        recorded: Folders of finished runs, which are not run again.
        workers: Runs at a time, where the device's memory allows.
        together: Runs of one shape side by side in each process, on streams of the GPU.
        version: Of drawing and descending; 1 is what the first recorded runs were made with.
        device: auto needs a GPU, cpu does without.
        commit: Commit of this program, where it runs without its repository.
    """
    from llm.launch.campaign.runner import run_campaign

    _count(run_campaign(
        out, budget=budget, only=only, documents=documents, tokenizer=tokenizer, model=model,
        precision=precision, recorded=recorded, workers=workers, together=together, version=version,
        device=device, commit=commit,
    ))  # fmt: skip


def rehearse(
    *,
    out: Path,
    budget: float | None = None,
    only: tuple[str, ...] = (),
    documents: Path | None = None,
    tokenizer: Path | None = None,
    workers: int = 1,
    together: int = 1,
    device: Literal["auto", "cpu"] = "auto",
) -> None:
    """Run every kind of run in tiny, minutes in all, in a folder that is never collected.

    Args:
        out: The rehearsal's folder.
        budget: Minutes after which the command returns.
        only: Entries, members or runs to take; all if none is named.
        documents: Documents (.jsonl, with .tokenizer.json beside it) in place of the embedded corpus.
        tokenizer: A tokenizer.json file.
        workers: Runs at a time.
        together: Runs of one shape side by side in each process.
        device: auto needs a GPU, cpu does without.
    """
    from llm.launch.campaign.runner import run_campaign

    _count(run_campaign(
        out, budget=budget, only=only, documents=documents, tokenizer=tokenizer, workers=workers,
        together=together, device=device, rehearse=True,
    ))  # fmt: skip


def show(
    *, out: Path | None = None, only: tuple[str, ...] = (), recorded: tuple[Path, ...] = _RECORDED
) -> None:
    """List every run and how far it is.

    Args:
        out: The campaign's folder, beside what is recorded.
        only: Entries, members or runs to take; all if none is named.
        recorded: Folders of finished runs.
    """
    from llm.launch.campaign.listing import states, text
    from llm.launch.campaign.plan import plan, select

    runs = select(plan(), only)
    print(text(runs, states(runs, *([] if out is None else [out]), *recorded)))


def collect(*, out: Path, into: Path) -> None:
    """Copy the finished runs' small results into a folder to keep: no weights, nothing unfinished.

    Args:
        out: The campaign's folder.
        into: A new folder, or a collection of the same campaign.
    """
    from llm.launch.campaign.folder import CampaignFolder
    from llm.launch.campaign.plan import plan

    folder = CampaignFolder(out)
    fresh = folder.collect(into, plan(precision=folder.read()["precision"]))
    print(f"{len(fresh)} new runs in {into}")


def document(*, file: Path, recorded: tuple[Path, ...] = _RECORDED) -> None:
    """Renew the table of runs in a document.

    Args:
        file: The document, e.g. docs/gpu-campaign.md.
        recorded: Folders of finished runs.
    """
    from llm.launch.campaign.listing import states, update_document
    from llm.launch.campaign.plan import plan

    changed = update_document(file, states(plan(), *recorded))
    print(f"{'renewed' if changed else 'unchanged:'} {file}")


def _count(progress: Progress) -> None:
    by_state: dict[str, int] = {}
    for one in progress.outcomes.values():
        by_state[one.state] = by_state.get(one.state, 0) + 1
    counted = ", ".join(f"{number} {state}" for state, number in by_state.items()) or "nothing to do"
    print(f"{counted}; {len(progress.left)} runs are left")


COMMANDS: dict[str, Callable[..., None]] = {
    "run": run, "rehearse": rehearse, "list": show, "collect": collect, "document": document,
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """The commands with the standard library's parser, flags and texts read off the functions above.

    Returns:
        0; 2 for bad input; 130 after a signal; 1 when the machine failed, a full disk for one.
    """
    parser = argparse.ArgumentParser(prog="python -m llm.launch.campaign")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, function in COMMANDS.items():
        summary, _, described = (inspect.getdoc(function) or "").partition("\n\nArgs:\n")
        one = commands.add_parser(name, help=summary, description=summary)
        helps = dict(re.findall(r"^\s*(\w+): (.*)$", described, re.MULTILINE))
        kinds = typing.get_type_hints(function)
        for flag, parameter in inspect.signature(function).parameters.items():
            one.add_argument(f"--{flag}", help=helps[flag], **_options(parameter, kinds[flag]))
    given = vars(parser.parse_args(argv))
    function = COMMANDS[given.pop("command")]
    try:
        function(**given)
    except InputError as error:
        print(f"reawaken: {error.in_flags({name: f'--{name}' for name in given})}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"reawaken: {str(stop) or 'stopped'}", file=sys.stderr)
        return 130
    except OSError as error:
        print(f"reawaken: {error}; the same command goes on", file=sys.stderr)
        return 1
    return 0


def _options(parameter: inspect.Parameter, kind: Any) -> dict[str, Any]:
    """How the standard library's parser takes a parameter of this type."""
    needed = parameter.default is inspect.Parameter.empty
    options: dict[str, Any] = {"required": True} if needed else {"default": parameter.default}
    inner = [part for part in typing.get_args(kind) if part not in (type(None), ...)]
    if typing.get_origin(kind) is Literal:
        return options | {"choices": inner}
    if typing.get_origin(kind) is tuple:
        return options | {"nargs": "+", "type": inner[0]}
    return _options(parameter, inner[0]) if inner else options | {"type": kind}
