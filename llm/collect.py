"""``reawaken llm collect``: finished runs' small results into a folder to keep, with where they came from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tyro

from llm.data.files import FORMATS
from llm.launch.campaign.folder import CAMPAIGN, CampaignFolder
from llm.reproduce import made_by
from llm.runs.finished import Run
from llm.runs.folder import RunFolder
from llm.runs.kept import PROVENANCE, collecting, file_sha256, hashes, keep, provenance, run_places
from llm.runs.show import state
from toymodel.base.errors import InputError
from toymodel.base.words import arg, either

__all__ = ["collect"]

# Of the files that a run can be given as documents, tokenizer or model.
_SUFFIXES = (*FORMATS, ".gz", ".gguf")


def collect(
    runs: tyro.conf.Positional[tuple[Path, ...]],
    *,
    into: Path,
    sources: tuple[str, ...] = (),
    device: str = "",
    notes: tuple[str, ...] = (),
    commit: str = "",
) -> None:
    """Copy finished runs' small results into a folder to keep, no weights, and say where they came from.

    Every run is examined first. What is unfinished or has diverged is named as not recorded. The same command
    adds to a collection what is not there yet.

    Args:
        runs: Run folders, or folders of them.
        into: The collection: a new folder, or one that this command made, e.g. figures/recorded/NAME.
        sources: Where the files that the runs read came from, 'NAME=WORDS' for each.
        device: What they ran on, in words; as their manifests say if not given.
        notes: What else is to be known of these runs.
        commit: Commit of the program, where runs do not know it.
    """
    chosen = _find(runs)
    finished = [Run.load(place) for place in chosen if RunFolder(place).finished]
    with collecting(into, lambda folder: (folder / PROVENANCE).is_file()):
        about = provenance(into) if (into / PROVENANCE).is_file() else {}
        known = about.pop("runs", {})
        fresh = [run for run in finished if not _is_there(run, into, known)]
        if not fresh:
            print(f"no new runs for {into}: {len(finished)} are there, "
                  f"{len(chosen) - len(finished)} are not finished")  # fmt: skip
            return
        said = {
            run.name: {"command": made_by(run.config, run.name), "commit": _commit(run, commit)}
            for run in fresh
        }
        commits = [line["commit"] for line in said.values()]
        about.setdefault("program", {"commit": commits[0]})
        about.setdefault("device", device or "; ".join(dict.fromkeys(_device(run) for run in fresh)))
        about["files"] = about.get("files", {}) | _files(fresh, sources, about)
        if notes:
            about["notes"] = list(dict.fromkeys([*about.get("notes", []), *notes]))
        waiting = {place.name: state(RunFolder(place)) for place in chosen if not RunFolder(place).finished}
        before = about.get("not_recorded", {})
        names = {*known, *said}
        left = {name: words for name, words in (before | waiting).items() if name not in names}
        if left:
            about["not_recorded"] = left
        keep(fresh, into, about, said)
    for name, words in waiting.items():
        print(f"not recorded: {name}, {words}")
    print(f"{len(fresh)} new runs in {into}")


def _find(runs: Sequence[Path]) -> list[Path]:
    """The run folders, each with a name of its own; no rehearsal's."""
    found: dict[str, Path] = {}
    for root in map(Path.absolute, runs):
        places = run_places(root)
        if not places:
            raise InputError(f"there is no run in {str(root)!r}", expected="run folders, or folders of them",
                             fix=f"reawaken llm run --out {root} starts one")  # fmt: skip
        for place in places:
            other = found.setdefault(place.name, place)
            if other != place:
                raise InputError(f"two runs are called {place.name}, in {other.parent} and {place.parent}",
                                 expected="a name of its own for each run of a collection",
                                 fix=f"name one of them: mv {place} {place}-2")  # fmt: skip
            if (place.parent / CAMPAIGN).is_file():
                kind = CampaignFolder(place.parent).read()["kind"]
                fix = either("run_campaign(FOLDER)", "reawaken llm campaign run --out FOLDER")
                if kind == "campaign":
                    collected = f"reawaken llm campaign collect --out {place.parent} --into FOLDER"
                    fix = either("CampaignFolder(...).collect(into, plan())", collected)
                raise InputError(
                    f"{place.name} is a run of a {kind}",
                    expected="runs of one's own" if kind == "campaign" else "runs that are results",
                    fix=fix,
                )  # fmt: skip
    return list(found.values())


def _is_there(run: Run, into: Path, known: dict[str, Any]) -> bool:
    """Whether the collection holds the run, under its name; refused when it holds another there."""
    mine = hashes(run)
    for name, line in known.items():
        same = all(line.get(what) == found for what, found in mine.items())
        if name == run.name and not same:
            raise InputError(arg("into", into) + f" holds another run {name}",
                             expected="a name of its own for each run of a collection",
                             fix=f"name yours: mv {run.path} {run.path}-2")  # fmt: skip
        if name != run.name and line.get("config") == mine["config"]:
            raise InputError(f"{run.name} is the same configuration as {name}, which is in {into}",
                             expected="one run of each configuration",
                             fix=f"leave {run.path} out, or choose another " + arg("into"))  # fmt: skip
        # A copy that was cut short has its line, and is made again.
        if same and (into / name / "losses.npz").is_file():
            return True
    return False


def _commit(run: Run, given: str) -> str:
    found = run.manifest.get("git_commit") or given
    if not found:
        raise InputError(
            f"{run.name} does not know the commit of its program",
            expected="the commit, so that it can be run again",
            fix=arg("commit", "HASH"),
        )
    return str(found)


def _device(run: Run) -> str:
    return f"{run.manifest.get('device')}, {run.manifest.get('threads')} threads"


def _files(runs: Sequence[Run], sources: Sequence[str], about: dict[str, Any]) -> dict[str, dict[str, str]]:
    """What the files are that the runs name, each with its hash where it is at hand."""
    words: dict[str, str] = {}
    for item in sources:
        name, equals, text = item.partition("=")
        if not equals or not text.strip():
            raise InputError(arg("sources", item), expected="NAME=WORDS, where the file NAME can be had",
                             fix=arg("sources", f"{name}=..."))  # fmt: skip
        words[name] = text.strip()
    found: dict[str, dict[str, str]] = {}
    for run in runs:
        settings = run.config.to_json()
        named = [settings[field] for field in ("documents", "tokenizer", "model") if settings[field]]
        # Others are names of the program's, or of a hub's.
        files = [name for name in named if Path(name).suffix.lower() in _SUFFIXES or Path(name).exists()]
        for name in [*files, *filter(None, [settings["weights_file"]])]:
            before = about.get("files", {}).get(name, {})
            one = dict(before)
            if name in words:
                one["what"] = words[name]
            if "what" not in one:
                raise InputError(f"{run.name} reads {name}, and nothing says where that came from",
                                 expected="words for every file that runs read",
                                 fix=arg("sources", f"{name}=WORDS"))  # fmt: skip
            if Path(name).is_file():
                one["sha256"] = file_sha256(Path(name))
                if before.get("sha256", one["sha256"]) != one["sha256"]:
                    raise InputError(f"{name} is another file than the one that is recorded",
                                     expected=f"hash {before['sha256'][:12]}, found {one['sha256'][:12]}",
                                     fix="start the command where the recorded file is")  # fmt: skip
            found[name] = one
    if unused := set(words) - set(found) - set(about.get("files", {})):
        raise InputError(arg("sources", sorted(unused)[0]) + ": no run reads a file of that name",
                         expected=f"some of {', '.join(found) or 'none'}", fix="leave it out")  # fmt: skip
    return found
