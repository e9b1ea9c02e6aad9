"""``reawaken llm campaign``, and the same for a machine without tyro."""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from toymodel.base.errors import InputError

__all__ = ["campaign", "main"]


def campaign(
    *,
    out: Path | None = None,
    budget: float | None = None,
    only: tuple[str, ...] = (),
    list: bool = False,
    documents: Path | None = None,
    tokenizer: Path | None = None,
    recorded: Path | None = Path("figures/recorded/campaign"),
    workers: int = 1,
    device: Literal["auto", "cpu"] = "auto",
    rehearse: bool = False,
    commit: str = "",
    collect: Path | None = None,
    doc: Path | None = None,
) -> None:
    """Run the paper's experiments that need no download at Pythia's sizes, in order of worth, on one GPU.

    Args:
        out: The campaign's folder; the same command goes on where it stopped.
        budget: Minutes after which everything is saved and the command returns.
        only: Entries, members or runs to take; all if none is named.
        list: Show every run and how far it is; start nothing.
        documents: Documents (.jsonl, with .tokenizer.json beside it) in place of the embedded corpus.
        tokenizer: A tokenizer.json file, e.g. Pythia's own.
        recorded: Results of earlier calls elsewhere, which are not run again.
        workers: Runs at a time, where the device's memory allows.
        device: auto needs a GPU, cpu does without.
        rehearse: Tiny runs of every kind instead, minutes in all.
        commit: Commit of this program, where it runs without its repository.
        collect: Copy the finished runs' small results into this folder; starts nothing.
        doc: Renew the table of runs in this file; starts nothing.
    """
    from llm.launch.campaign.folder import CampaignFolder
    from llm.launch.campaign.listing import states, text, update_document
    from llm.launch.campaign.plan import plan, select
    from llm.launch.campaign.runner import run_campaign

    runs = select(plan(rehearse=rehearse), only)
    if doc is not None:
        changed = update_document(doc, states(plan(), recorded))
        print(f"{'renewed' if changed else 'unchanged:'} {doc}")
        return
    if list:
        print(text(runs, states(runs, out, recorded)))
        return
    if out is None:
        raise InputError(
            "campaign without --out", expected="a folder for its runs", fix="--out runs/campaign"
        )
    if collect is not None:
        fresh = CampaignFolder(out).collect(collect, runs)
        print(f"{len(fresh)} new runs in {collect}")
        return
    progress = run_campaign(
        out, budget=budget, only=only, documents=documents, tokenizer=tokenizer, recorded=recorded,
        workers=workers, device=device, rehearse=rehearse, commit=commit,
    )  # fmt: skip
    by_state: dict[str, int] = {}
    for attempt in progress.attempts.values():
        by_state[attempt.state] = by_state.get(attempt.state, 0) + 1
    counted = ", ".join(f"{number} {state}" for state, number in by_state.items()) or "nothing to do"
    print(f"{counted}; {len(progress.left)} runs are left")


def main(argv: Sequence[str] | None = None) -> int:
    """The command with the standard library's parser, flags and texts read off the function above.

    Returns:
        0; 2 for bad input; 130 after a signal.
    """
    summary, _, described = inspect.getdoc(campaign).partition("\n\nArgs:\n")  # type: ignore[union-attr]
    helps = dict(re.findall(r"^\s*(\w+): (.*)$", described, re.MULTILINE))
    parser = argparse.ArgumentParser(prog="python -m llm.launch.campaign", description=summary)
    for name, parameter in inspect.signature(campaign).parameters.items():
        options: dict[str, Any] = {"default": parameter.default, "help": helps[name]}
        if isinstance(parameter.default, bool):
            options["action"] = "store_true"
        elif name == "only":
            options |= {"nargs": "+", "metavar": "NAME"}
        elif name == "device":
            options["choices"] = ("auto", "cpu")
        else:
            options["type"] = {"budget": float, "workers": int, "commit": str}.get(name, Path)
        parser.add_argument(f"--{name}", **options)
    try:
        campaign(**vars(parser.parse_args(argv)))
    except InputError as error:
        print(f"reawaken: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"reawaken: {str(stop) or 'stopped'}", file=sys.stderr)
        return 130
    return 0
