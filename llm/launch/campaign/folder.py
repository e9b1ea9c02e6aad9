"""The campaign's folder: its documents, its runs, what they took, and the small results of the finished ones.

``documents.jsonl``, ``tokenizer.json``, perhaps ``pretrained.gguf``, ``campaign.json`` and one run folder per
run. A collection holds the same but documents, weights and anything unfinished.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from llm.config import RunConfig
from llm.launch.campaign.plan import DOCUMENTS, PRETRAINED, TOKENIZER, Planned, Precision, as_preset
from llm.names import SHAPES
from llm.reproduce import made_by
from llm.runs.finished import Run
from llm.runs.folder import RunFolder
from llm.runs.kept import collecting, file_sha256, keep
from llm.runs.show import episodes_done
from toymodel.base.errors import InputError
from toymodel.base.files import atomic_write, check_output_folder, contents
from toymodel.base.json_file import read_json, write_json
from toymodel.base.lock import lock, refuse_if_held
from toymodel.base.words import arg, either

__all__ = ["CAMPAIGN", "CampaignFolder", "State", "which_run"]

CAMPAIGN = "campaign.json"
_FILES = (DOCUMENTS, TOKENIZER, PRETRAINED)


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

    @property
    def precision(self) -> Precision | None:
        """Of the runs; None before there is a campaign."""
        return self.read()["precision"] if (self.path / CAMPAIGN).is_file() else None

    def check(
        self,
        kind: str,
        documents: Path | None = None,
        tokenizer: Path | None = None,
        model: Path | None = None,
        precision: Precision = "tf32",
    ) -> dict[str, Path]:
        """That the campaign can begin or go on here with these files; leaves nothing behind.

        Args:
            kind: ``campaign`` or ``rehearsal``.
            documents: a ``.jsonl`` file to copy; the embedded corpus if None.
            tokenizer: a tokenizer.json file to copy; else the one beside the documents, else one trained on
                the embedded corpus.
            model: a ``.gguf`` file of a trained network to copy; it may come with a later call.
            precision: of the matrix products of all runs.

        Returns:
            The files that were given, by their names in the folder.

        Raises:
            InputError: for a folder of something else or of another campaign, one that cannot be written to
                or that another process works in, or files that are missing.
        """
        check_output_folder(self.path)
        refuse_if_held(self.path)
        for name, file, without in (
            ("documents", documents, "to use the embedded corpus"),
            ("tokenizer", tokenizer, "to use the embedded corpus"),
            ("model", model, "to leave out the runs of a trained network"),
        ):
            if file is not None and not file.is_file():
                fix = "leave " + arg(name) + f" out {without}"
                raise InputError(arg(name, file), expected="an existing file", fix=fix)
        if model is not None and model.suffix != ".gguf":
            raise InputError(arg("model", model), expected="a .gguf file, weights and tokenizer in one",
                             fix="leave " + arg("model") + " out to run the others")  # fmt: skip
        named = {DOCUMENTS: documents, TOKENIZER: tokenizer or _beside(documents), PRETRAINED: model}
        given = {name: file for name, file in named.items() if file is not None}
        if (self.path / CAMPAIGN).is_file():
            self._check_same(kind, precision, given)
            return given
        if self.path.exists() and contents(self.path):
            raise InputError(f"{str(self.path)!r} exists and is no campaign",
                             expected="a new or empty folder, or one that this command made",
                             fix=arg("out", f"{self.path}-campaign"))  # fmt: skip
        if documents is not None and TOKENIZER not in given:
            raise InputError(arg("documents", documents) + " without a tokenizer",
                             expected="their name with the ending .tokenizer.json beside them",
                             fix=arg("tokenizer", "FILE"))  # fmt: skip
        if TOKENIZER in given:
            _check_tokenizer(given[TOKENIZER])
        return given

    def _check_same(self, kind: str, precision: Precision, given: Mapping[str, Path]) -> None:
        """That the folder was begun as it is gone on with."""
        state = self.read()
        differ = [] if state["kind"] == kind else [f"it is a {state['kind']}, this is a {kind}"]
        if state["precision"] != precision:
            differ.append(f"its precision is {state['precision']}, not {precision}")
        for name, known in state["sha256"].items():
            if name in given and file_sha256(given[name]) != known:
                differ.append(f"its {name} is not {given[name]}")
            if (self.path / name).is_file() and file_sha256(self.path / name) != known:
                differ.append(f"its {name} has changed since")
        if differ:
            raise InputError(
                f"{str(self.path)!r} holds the results of another campaign ({'; '.join(differ)})",
                expected="what it was begun with", fix="choose another " + arg("out"),
            )  # fmt: skip

    @contextlib.contextmanager
    def claim(self, kind: str, precision: Precision, given: dict[str, Path]) -> Iterator[None]:
        """Hold the folder against every other process, with the campaign's files in place.

        Args:
            kind: ``campaign`` or ``rehearsal``.
            precision: of the matrix products of all runs.
            given: what `check` returned.

        Raises:
            InputError: while another process holds it, or when files that it was begun with are gone.
        """
        with lock(self.path), tempfile.TemporaryDirectory() as spare:
            begun = (self.path / CAMPAIGN).is_file()
            new: dict[str, Any] = {"kind": kind, "precision": precision, "sha256": {}, "runs": {}}
            state = self.read() if begun else new
            known, there = state["sha256"], {name for name in _FILES if (self.path / name).is_file()}
            if DOCUMENTS not in {*given, *there}:
                from llm.data.corpus import export_documents

                corpus, trained = export_documents(Path(spare) / DOCUMENTS)
                given = {DOCUMENTS: corpus, TOKENIZER: trained} | given
            found = {name: file_sha256(file) for name, file in given.items()}
            if gone := [n for n in known if n not in there and found.get(n) != known[n]]:
                raise InputError(f"{str(self.path)!r} has lost its {' and '.join(gone)}",
                                 expected="the files it was begun with",
                                 fix="copy them back, or choose another " + arg("out"))  # fmt: skip
            # The hashes first: whatever is there without them is somebody else's.
            if not begun or not found.keys() <= known.keys():
                self._write(state | {"sha256": found | known})
            for name in found.keys() - there:
                with atomic_write(self.path / name) as out, given[name].open("rb") as source:
                    shutil.copyfileobj(source, out)
            yield

    def read(self) -> dict[str, Any]:
        """What ``campaign.json`` holds: kind, precision, hashes, and what each run took so far.

        Raises:
            InputError: for a folder without one, or a damaged one.
        """
        file = self.path / CAMPAIGN
        state = read_json(file, fix="name the folder of the campaign")
        if not {"kind", "precision", "sha256", "runs"} <= state.keys():
            raise InputError(f"{str(file)!r} cannot be read (its fields are missing)",
                             expected="the folder of a campaign",
                             fix="name the folder of the campaign")  # fmt: skip
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

    def begun(self, run: Planned, device: Literal["auto", "cpu"]) -> Planned:
        """A run as it is to be started on a device: in the version it was begun with, if it was."""
        config = dataclasses.replace(run.config, device=device)
        if self.state(run).word != "pending":
            config = dataclasses.replace(
                config, version=RunFolder(self.path / run.name).read_config().version
            )
        return dataclasses.replace(run, config=config)

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
            raise InputError(
                f"{str(self.path)!r} is a {known['kind']}",
                expected="a campaign: tiny runs are no results",
                fix=either("run_campaign(FOLDER)", "reawaken llm campaign run --out FOLDER"),
            )
        with collecting(into, lambda folder: (folder / CAMPAIGN).is_file()):
            if (into / CAMPAIGN).is_file():
                if not self.same_campaign(other):
                    raise InputError(
                        arg("into", into)
                        + " holds results of another campaign (its documents, tokenizer or precision differ)",
                        expected="a new folder, or a collection of this campaign",
                        fix=arg("into", f"{into}-2"),
                    )
                known = other.read()
            fresh = [
                Run.load(self.path / run.name)
                for run in runs
                if self.state(run).word == "done" and not (into / run.name / "losses.npz").is_file()
            ]
            mine = self.read()["runs"]
            known["runs"] |= {run.name: mine[run.name] for run in fresh if run.name in mine}
            if fresh:
                said = {run.name: self._said(run, mine.get(run.name, {})) for run in fresh}
                keep(fresh, into, _about(known, said), said)
            other._write(known)
        return [run.name for run in fresh]

    @staticmethod
    def _said(run: Run, facts: Mapping[str, Any]) -> dict[str, str]:
        """What provenance says of a run: its command, beside the campaign's files, and its commit."""
        commit = run.manifest.get("git_commit") or facts.get("commit") or "unknown"
        return {"command": made_by(run.config, run.name), "commit": str(commit)}

    def _write(self, state: dict[str, Any]) -> None:
        write_json(self.path / CAMPAIGN, dict(sorted(state.items())))


def _about(campaign: Mapping[str, Any], said: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """What provenance says of a campaign's runs together."""
    return {
        "program": {"commit": next(iter(said.values()))["commit"]},
        "device": "; ".join(
            dict.fromkeys(one["machine"] for one in campaign["runs"].values() if "machine" in one)
        ),
        "files": {name: {"sha256": found} for name, found in campaign["sha256"].items()},
    }


def which_run(config: RunConfig) -> RunConfig:
    """What two runs have in common that are one, in whatever place, precision, version and files."""
    return dataclasses.replace(as_preset(config), device="auto", precision="ieee", version=1)


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
        raise InputError(
            arg("tokenizer", file) + f" is no tokenizer ({error})",
            expected="a tokenizer.json file",
            fix="copy it again from the model's folder",
        ) from error
    if size > rows:
        raise InputError(arg("tokenizer", file) + f" of {size} tokens",
                         expected=f"at most {rows}, the rows of Pythia's embedding",
                         fix="leave " + arg("tokenizer") + " out, or take Pythia's own")  # fmt: skip
