"""Everything that may reach the network: models and datasets of the hub, and how each failure is said."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llm.names import CNN_DAILYMAIL, PYTHIA, SHAPES
from toymodel.base.errors import InputError
from toymodel.base.words import Phrase, arg, args, either, first_line, in_flags, nearest

__all__ = ["fetch_model", "load_hub_dataset", "load_local_dataset", "load_parquet"]

# The library would otherwise ask the hub to convert pickled weights whenever it finds no safetensors.
os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")

_OFFLINE = "downloads go to HF_HOME (HF_HUB_OFFLINE=1 then uses only what is there)"
# Configuration, tokenizer and safetensors; never code or pickles.
_DESCRIPTION = ["*.json", "tokenizer*", "*.txt", "*.model"]


def fetch_model(name: str, revision: str | None, *, weights: bool) -> Path:
    """Local folder with a hub model's configuration, tokenizer and, if asked, safetensors.

    Nothing is downloaded that is already in the cache of that revision.

    Raises:
        InputError: without network, access, or safetensors.
    """
    from huggingface_hub import snapshot_download

    what = args(model=name, **({"revision": revision} if revision else {}))
    patterns = [*_DESCRIPTION, *(["*.safetensors"] if weights else [])]
    with _reaching("model", name, what):
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    if weights and not any(folder.glob("*.safetensors")):
        raise InputError(
            what + " holds no safetensors in the cache or on the hub (older revisions have only pickles)",
            expected="model.safetensors: pickled weights are never loaded",
            fix="take a revision that has them (the default one has), or convert it elsewhere and give the "
            "folder",
        )
    return folder


def load_hub_dataset(
    name: str,
    subset: str | None,
    split: str,
    revision: str | None,
    task: str = "language",
) -> tuple[Any, dict[str, Any]]:
    """A split of a hub dataset and where it came from, with the commit that was read.

    `task` is the run's, for the message that says how to fetch it where there is a network.

    Raises:
        InputError: without `datasets`, network or access, for a dataset that needs code of its own, or an
            unknown subset or split.
    """
    datasets = _datasets(arg("documents", name))
    kind = {"task": task} if task != "language" else {}
    what = args(**kind, documents=name, **({"documents_revision": revision} if revision else {}))
    with (
        _reaching("documents", name, what),
        _cache_if_unreachable(datasets, name, revision),
        _dataset_errors(name, split, what),
    ):
        table = datasets.load_dataset(name, subset, split=split, revision=revision)
    return table, {"name": name, "subset": subset, "split": split, "revision": _commit(table) or revision}


def load_local_dataset(path: Path, subset: str | None, split: str) -> tuple[Any, dict[str, Any]]:
    """A dataset on disk: one that was saved (``save_to_disk``), or a folder of parquet or JSON files.

    Raises:
        InputError: for a folder that is none, or an unknown split.
    """
    what = arg("documents", path)
    datasets = _datasets(what)
    with _dataset_errors(str(path), split, what):
        if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
            table = datasets.load_from_disk(str(path))
            if not hasattr(table, "column_names") or isinstance(table.column_names, dict):
                table = table[split]
        else:
            table = datasets.load_dataset(str(path), subset, split=split)
    return table, {"name": str(path), "split": split}


def load_parquet(path: Path) -> tuple[Any, dict[str, Any]]:
    """One parquet file as a dataset.

    Raises:
        InputError: without `datasets`, or for a damaged file.
    """
    what = arg("documents", path)
    datasets = _datasets(what)
    with _dataset_errors(str(path), "train", what):
        return datasets.Dataset.from_parquet(str(path)), {"name": str(path)}


def _datasets(what: Phrase) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise InputError(
            what + " without the datasets package", expected="the package that reads hub and saved datasets",
            fix="pip install datasets, or " + arg("documents", "FILE.jsonl"),
        ) from error  # fmt: skip
    datasets.disable_progress_bars()
    return datasets


@contextlib.contextmanager
def _cache_if_unreachable(datasets: Any, name: str, revision: str | None) -> Iterator[None]:
    """Without network, let the datasets library look into its cache at once.

    By itself it would first try again and again, for half a minute and with a line of log for each.
    """
    from huggingface_hub import HfApi, constants, errors

    try:
        HfApi().dataset_info(name, revision=revision, timeout=10)
    except errors.HfHubHTTPError:
        raise
    except Exception:  # the client's own errors of connection, which differ between its versions
        before = datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE
        datasets.config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True
        try:
            yield
        finally:
            datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = before
    else:
        yield


def _commit(table: Any) -> str | None:
    """Commit of a hub dataset, from the addresses of the files it was built from."""
    for address in table.info.download_checksums or {}:
        if "@" in address:
            return str(address).split("@", 1)[1].split("/", 1)[0]
    return None


@contextlib.contextmanager
def _reaching(field: str, name: str, what: Phrase) -> Iterator[None]:
    """Say in one line why something on the hub cannot be had."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise InputError(
            what + " is gated on the hub", expected="access granted to your account",
            fix="accept its terms on its page, then: hf auth login",
        ) from error  # fmt: skip
    except errors.RevisionNotFoundError as error:
        raise InputError(what + ": the hub has no such revision", expected="a branch, tag or commit of it",
                         fix="leave the revision out, or list them on its page") from error  # fmt: skip
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, ConnectionError) as error:
        raise _unreachable(what) from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise InputError(
            what + ": the hub has no such repository, or it is private",
            expected="owner/name as on its page",
            fix=_nearest(field, name),
        ) from error
    except (errors.HfHubHTTPError, OSError) as error:
        if isinstance(error, OSError) and error.filename:  # a disk's error, not the network's
            raise
        raise _unreachable(what) from error


def _unreachable(what: Phrase) -> InputError:
    return InputError(
        what + " is not in the local cache and the hub cannot be reached",
        expected=f"a network connection once: {_OFFLINE}; or something of that name on this disk",
        fix="on a machine with network: "
        + either(f"llm.prefetch.prefetch(RunConfig({what}))", "reawaken llm prefetch " + in_flags(what)),
    )


def _nearest(field: str, name: str) -> Phrase:
    known = [CNN_DAILYMAIL[0]] if field == "documents" else [PYTHIA + s for s in SHAPES if s != "embedded"]
    return arg(field, nearest(name, known))


@contextlib.contextmanager
def _dataset_errors(name: str, split: str, what: Phrase) -> Iterator[None]:
    """What the datasets library says of unusable datasets, in one line each."""
    from datasets import exceptions

    try:
        yield
    except exceptions.DatasetNotFoundError as error:
        if "gated" in str(error):
            raise InputError(what + " is gated on the hub", expected="access granted to your account",
                             fix="accept its terms on its page, then: hf auth login") from error  # fmt: skip
        if isinstance(error.__cause__ or error.__context__, ConnectionError):
            raise _unreachable(what) from error
        raise InputError(
            what + ": the hub has no such dataset, or it is private",
            expected="owner/name as on its page",
            fix=_nearest("documents", name),
        ) from error
    except (KeyError, ValueError, RuntimeError, FileNotFoundError, exceptions.DatasetsError) as error:
        text = first_line(error)
        if "script" in text:
            raise InputError(
                what + " needs a script of its own, which is never run",
                expected="data files only",
                fix="use a converted copy of it (its page's refs/convert/parquet revision, "
                + arg("documents_revision", "refs/convert/parquet")
                + ")",
            ) from error
        raise InputError(
            what + f" cannot be used ({text})",
            expected=f"a dataset with the split {split!r}",
            fix=arg("documents_split", "NAME")
            + " or "
            + arg("documents_subset", "NAME")
            + ", as on its page",
        ) from error
