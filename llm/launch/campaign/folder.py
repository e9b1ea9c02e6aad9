"""The campaign's folder: its documents, its runs, what they took, and the small results of the finished ones.

``documents.jsonl``, ``tokenizer.json``, perhaps ``pretrained.gguf``, ``campaign.json`` and one run folder per
run. A collection holds the same but documents, weights and anything unfinished.
"""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm.config import RunConfig
from llm.launch.campaign.plan import DOCUMENTS, PRETRAINED, TOKENIZER, Planned, Precision, as_preset
from llm.names import SHAPES
from llm.runs.folder import RunFolder
from llm.runs.show import episodes_done
from toymodel.base.errors import InputError
from toymodel.base.files import atomic_write, contents
from toymodel.base.json_file import read_json, write_json

__all__ = ["CAMPAIGN", "CampaignFolder", "State", "which_run"]

CAMPAIGN = "campaign.json"
_KEPT = ("config.json", "manifest.json", "log.jsonl", "*.npz", "probes/*.npz")
_LARGEST = 16 << 20  # bytes of one file of a collection: results are small, and weights are none


@dataclass(frozen=True)
class State:
    """How far a run is.

    Attributes:
        word: ``done``, ``unfinished`` or ``pending``.
        episodes: finished ones.
        commit: of the program that ran it, where it is known.
        finished: date, or empty.
        device: what it ran on, or empty.
    """

    word: str
    episodes: int = 0
    commit: str = ""
    finished: str = ""
    device: str = ""

    @classmethod
    def of(cls, folder: RunFolder, commit: str = "") -> State:
        """How far the run of a folder is; `commit` where the run itself does not know it."""
        episodes = episodes_done(folder)
        if not folder.finished:
            return cls("unfinished", episodes)
        manifest = folder.read_manifest()
        commit = str(manifest.get("git_commit") or commit)[:7]
        return cls("done", episodes, commit, manifest.get("finished", "")[:10], manifest.get("device", ""))


class CampaignFolder:
    """One campaign on disk.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def claim(
        self,
        kind: str,
        documents: Path | None = None,
        tokenizer: Path | None = None,
        model: Path | None = None,
        precision: Precision = "tf32",
    ) -> None:
        """Put the files in place, or see that they are those the folder was begun with.

        Args:
            kind: ``campaign`` or ``rehearsal``.
            documents: a ``.jsonl`` file to copy; the embedded corpus if None.
            tokenizer: a tokenizer.json file to copy; else the one beside the documents, else one trained on
                the embedded corpus.
            model: a ``.gguf`` file of a trained network to copy; it may come with a later call.
            precision: of the matrix products of all runs.

        Raises:
            InputError: for a folder of something else or of another campaign, or files that are missing.
        """
        given = {DOCUMENTS: documents, TOKENIZER: tokenizer or _beside(documents), PRETRAINED: model}
        for flag, file, without in (
            ("--documents", documents, "to use the embedded corpus"),
            ("--tokenizer", tokenizer, "to use the embedded corpus"),
            ("--model", model, "to leave out the runs of a trained network"),
        ):
            if file is not None and not file.is_file():
                raise InputError(
                    f"{flag} {file}", expected="an existing file", fix=f"leave {flag} out {without}"
                )
        if model is not None and model.suffix != ".gguf":
            raise InputError(f"--model {model}", expected="a .gguf file, weights and tokenizer in one",
                             fix="leave --model out to run the others")  # fmt: skip
        if (self.path / CAMPAIGN).is_file():
            state = self.read()
            differ = [] if state["kind"] == kind else [f"it is a {state['kind']}, this is a {kind}"]
            if state["precision"] != precision:
                differ.append(f"its precision is {state['precision']}, not {precision}")
            known = state["sha256"]
            for name, file in given.items():
                if file is not None and name in known and _sha256(file) != known[name]:
                    differ.append(f"its {name} is not {file}")
            for name, expected in known.items():
                if (self.path / name).is_file() and _sha256(self.path / name) != expected:
                    differ.append(f"its {name} has changed since")
            if differ:
                raise InputError(
                    f"{str(self.path)!r} holds the results of another campaign ({'; '.join(differ)})",
                    expected="what it was begun with", fix="choose another --out",
                )  # fmt: skip
            if model is not None and PRETRAINED not in known:
                self._write(state | {"sha256": known | {PRETRAINED: self._put(PRETRAINED, model)}})
            return
        if self.path.exists() and (
            not self.path.is_dir() or {f.name for f in contents(self.path)} - {*given}
        ):
            raise InputError(f"{str(self.path)!r} exists and is no campaign",
                             expected="a new or empty folder, or one that this command made",
                             fix=f"--out {self.path}-campaign")  # fmt: skip
        if documents is not None and given[TOKENIZER] is None:
            raise InputError(f"--documents {documents} without a tokenizer",
                             expected="their name with the ending .tokenizer.json beside them",
                             fix="--tokenizer FILE")  # fmt: skip
        if (chosen := given[TOKENIZER]) is not None:
            _check_tokenizer(chosen)
        self.path.mkdir(parents=True, exist_ok=True)
        if documents is None:
            from llm.data.corpus import export_documents

            _, trained = export_documents(self.path / DOCUMENTS)
            trained.replace(self.path / TOKENIZER)
        for name, file in given.items():
            if file is not None:
                self._put(name, file)
        sha256 = {name: _sha256(self.path / name) for name in given if (self.path / name).is_file()}
        self._write({"kind": kind, "precision": precision, "sha256": sha256, "runs": {}})

    def _put(self, name: str, file: Path) -> str:
        """Copy a file into the folder, whole or not at all; its hash."""
        with atomic_write(self.path / name) as out, file.open("rb") as source:
            shutil.copyfileobj(source, out)
        return _sha256(self.path / name)

    def read(self) -> dict[str, Any]:
        """What ``campaign.json`` holds: kind, precision, hashes, and what each run took so far.

        Raises:
            InputError: for a folder without one, or a damaged one.
        """
        file = self.path / CAMPAIGN
        state = read_json(file, fix="name the --out of the campaign")
        if not {"kind", "precision", "sha256", "runs"} <= state.keys():
            raise InputError(f"{str(file)!r} cannot be read (its fields are missing)",
                             expected="the folder of a campaign",
                             fix="name the --out of the campaign")  # fmt: skip
        return state

    def note(self, run: str, facts: Mapping[str, Any]) -> None:
        """Keep facts about a run beside those already known."""
        state = self.read()
        state["runs"].setdefault(run, {}).update(facts)
        self._write(state)

    def state(self, run: Planned) -> State:
        """How far a run is, from what it has written; a rehearsal of it is another run."""
        folder = RunFolder(self.path / run.name)
        if not (folder.path / "config.json").is_file():
            return State("pending")
        if which_run(folder.read_config()) != which_run(run.config):
            return State("pending")
        return State.of(folder, self.read()["runs"].get(run.name, {}).get("commit", ""))

    def same_campaign(self, other: CampaignFolder) -> bool:
        """Whether both train on the same tokens, in one precision, and are of one kind."""
        mine, theirs = self.read(), other.read()
        hashes = [{name: s["sha256"][name] for name in (DOCUMENTS, TOKENIZER)} for s in (mine, theirs)]
        return hashes[0] == hashes[1] and all(mine[key] == theirs[key] for key in ("kind", "precision"))

    def collect(self, into: Path, runs: list[Planned]) -> list[str]:
        """Copy what is small of every finished run: matrices, probes, manifests and logs, no weights.

        Args:
            into: a new folder, or a collection of the same campaign, which is added to.
            runs: the plan.

        Returns:
            Names of the runs that are new there.

        Raises:
            InputError: for a rehearsal, a folder of something else or of another campaign, or a result that
                is not small.
        """
        other = CampaignFolder(into)
        known: dict[str, Any] = self.read() | {"runs": {}}
        if known["kind"] != "campaign":
            raise InputError(f"{str(self.path)!r} is a {known['kind']}",
                             expected="a campaign: tiny runs are no results",
                             fix="reawaken llm campaign run --out FOLDER")  # fmt: skip
        if (into / CAMPAIGN).is_file():
            if not self.same_campaign(other):
                raise InputError(
                    f"--into {into} holds results of another campaign (its documents, tokenizer or precision "
                    "differ)",
                    expected="a new folder, or a collection of this campaign", fix=f"--into {into}-2",
                )  # fmt: skip
            known = other.read()
        elif into.exists() and (not into.is_dir() or contents(into)):
            raise InputError(f"--into {into} exists and is no collection",
                             expected="a new or empty folder", fix=f"--into {into}-results")  # fmt: skip
        fresh = []
        for run in runs:
            source, target = self.path / run.name, into / run.name
            if self.state(run).word != "done" or (target / "losses.npz").is_file():
                continue
            files = [file for pattern in _KEPT for file in sorted(source.glob(pattern))]
            for file in files:
                if file.stat().st_size > _LARGEST:
                    raise InputError(f"{str(file)!r} has {file.stat().st_size >> 20} MiB",
                                     expected=f"results of at most {_LARGEST >> 20} MiB each",
                                     fix=f"copy {run.name} yourself")  # fmt: skip
            # The loss matrix marks a run as finished: last, so that a copy cut short is made again.
            for file in sorted(files, key=lambda f: f.name == "losses.npz"):
                with atomic_write(target / file.relative_to(source)) as out:
                    out.write(file.read_bytes())
            fresh.append(run.name)
        mine = self.read()["runs"]
        known["runs"] |= {name: mine[name] for name in fresh if name in mine}
        other._write(known)
        return fresh

    def _write(self, state: dict[str, Any]) -> None:
        write_json(self.path / CAMPAIGN, dict(sorted(state.items())))


def which_run(config: RunConfig) -> RunConfig:
    """What two runs have in common that are one, wherever, in whatever precision, from whatever files."""
    return dataclasses.replace(as_preset(config), device="auto", precision="ieee")


def _beside(documents: Path | None) -> Path | None:
    """The tokenizer that was exported with the documents, if it is there."""
    file = documents and documents.with_suffix(".tokenizer.json")
    return file if file and file.is_file() else None


def _check_tokenizer(file: Path) -> None:
    """That it is one, and that the embedding of every size has a row for each of its tokens."""
    from tokenizers import Tokenizer

    rows = min(rows for name, (*_, rows) in SHAPES.items() if name != "embedded")
    try:
        size = Tokenizer.from_file(str(file)).get_vocab_size()
    except Exception as error:  # the library raises plain Exception
        raise InputError(f"--tokenizer {file} is no tokenizer ({error})", expected="a tokenizer.json file",
                         fix="copy it again from the model's folder") from error  # fmt: skip
    if size > rows:
        raise InputError(f"--tokenizer {file} of {size} tokens",
                         expected=f"at most {rows}, the rows of Pythia's embedding",
                         fix="leave --tokenizer out, or take Pythia's own")  # fmt: skip


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
