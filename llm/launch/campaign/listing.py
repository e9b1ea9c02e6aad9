"""The campaign as text: every run and how far it is, for a terminal and for the documentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from llm.launch.campaign.folder import CAMPAIGN, CampaignFolder, State, which_run
from llm.launch.campaign.plan import ENTRIES, Entry, Planned, plan
from llm.runs.folder import RunFolder
from llm.runs.kept import PROVENANCE, provenance
from toymodel.base.errors import InputError
from toymodel.base.files import atomic_write
from toymodel.base.words import arg, columns

__all__ = ["markdown", "states", "text", "update_document"]

_BEGIN, _END = "<!-- runs: begin -->", "<!-- runs: end -->"


def states(runs: Sequence[Planned], *folders: Path) -> dict[str, State]:
    """How far every run is, by name; of several folders the one where it is farthest counts.

    Args:
        runs: planned ones.
        folders: campaigns, collections of them, or folders of run folders of any name; those that do not
            exist hold nothing.
    """
    order = ("pending", "unfinished", "done")
    found = {run.name: State("pending") for run in runs}
    planned = {which_run(run.config): run.name for run in runs}
    for path in folders:
        commits = _commits(path)
        for place in sorted(file.parent for file in path.glob("*/config.json")):
            folder = RunFolder(place)
            name = planned.get(which_run(folder.read_config()))
            if name is None:
                continue
            state = State.of(folder, commits.get(place.name, commits.get("", "")))
            if order.index(state.word) > order.index(found[name].word):
                found[name] = state
    return found


def _commits(path: Path) -> dict[str, str]:
    """Commits of the program by run, as a campaign notes them, and under "" as recorded runs say for all."""
    if (path / CAMPAIGN).is_file():
        return {name: facts.get("commit", "") for name, facts in CampaignFolder(path).read()["runs"].items()}
    if (path / PROVENANCE).is_file():
        return {"": provenance(path)["program"]["commit"]}
    return {}


def text(runs: Sequence[Planned], found: Mapping[str, State]) -> str:
    """One line per run: its entry, name and state."""
    rows = []
    for run in runs:
        state = found[run.name]
        total = run.config.num_documents * run.config.epochs
        words = {
            "done": f"done {state.finished} {state.commit or 'commit unknown'} on {state.device}",
            "unfinished": f"unfinished, {state.episodes} of {total} episodes",
        }.get(state.word, state.word)
        rows.append((run.entry, run.name, words))
    done = sum(state.word == "done" for state in found.values())
    return "\n".join([*columns(rows), f"{done} of {len(runs)} runs are done"])


def markdown(found: Mapping[str, State], entries: Sequence[Entry] = ENTRIES) -> str:
    """One row per member, in order of worth."""
    runs = plan(entries)
    rows = ["| # | entry | run | seeds | state |", "|---|---|---|---|---|"]
    for number, entry in enumerate(entries, 1):
        for position, member in enumerate(entry.members):
            served = [
                run for run in runs if any(f"{member}-seed{seed}" in run.serves for seed in entry.seeds)
            ]
            first = f"{number} | {entry.name}: {entry.asks}" if position == 0 else " | "
            same = {run.name.rpartition("-seed")[0] for run in served} - {member}
            name = f"`{member}`" + (f" (the same as `{same.pop()}`)" if same else "")
            seeds = ", ".join(map(str, entry.seeds))
            rows.append(f"| {first} | {name} | {seeds} | {_state([found[run.name] for run in served])} |")
    return "\n".join(rows)


def update_document(file: Path, found: Mapping[str, State]) -> bool:
    """Put the table between its two marks; whether that changed the file.

    Raises:
        InputError: for a file without the marks.
    """
    try:
        before, rest = file.read_text(encoding="utf-8").split(_BEGIN + "\n")
        _, after = rest.split(_END)
    except (OSError, ValueError) as error:
        raise InputError(f"{str(file)!r} cannot be used", expected=f"a file with {_BEGIN} and {_END}",
                         fix=arg("file", "docs/gpu-campaign.md"))  from error  # fmt: skip
    wanted = f"{before}{_BEGIN}\n{markdown(found)}\n{_END}{after}"
    changed = wanted != file.read_text(encoding="utf-8")
    if changed:
        with atomic_write(file, "w") as out:
            out.write(wanted)
    return changed


def _state(found: Sequence[State]) -> str:
    done = [state for state in found if state.word == "done"]
    if not done:
        return "pending"
    last = max(done, key=lambda state: state.finished)
    part = "done" if len(done) == len(found) else f"{len(done)} of {len(found)} done"
    return f"{part}, {last.commit or 'commit unknown'}, {last.finished}, {last.device}"
