"""What is said when the hub cannot give something. Nothing here reaches a network."""

import dataclasses

import datasets
import httpx2 as httpx
import huggingface_hub
import pytest
from huggingface_hub import errors

from llm import RunConfig
from llm.data.documents import load_documents
from llm.data.hub import fetch_model
from llm.networks.models import build_model
from llm.prefetch import prefetch
from tests.llm.given import refusal, texts
from toymodel import InputError

REPLY = httpx.Response(404, request=httpx.Request("GET", "https://hub.invalid"))
SMALL = RunConfig(num_documents=4, context=20)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """As if the hub answered, so that what is tested is what comes after."""
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda self, name, **options: None)


def failing(error):
    def call(*args, **kwargs):
        raise error

    return call


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errors.GatedRepoError("no", response=REPLY), "is gated.*hf auth login"),
        (errors.RepositoryNotFoundError("no", response=REPLY), "Fix: model='EleutherAI/pythia-410m'"),
        (errors.RevisionNotFoundError("no", response=REPLY), "no such revision"),
        (
            errors.LocalEntryNotFoundError("no"),
            "HF_HOME.*HF_HUB_OFFLINE.*prefetch\\(RunConfig\\(model='EleutherAI",
        ),
        (errors.OfflineModeIsEnabled("no"), "cannot be reached"),
        (ConnectionError("no"), "cannot be reached"),
        (errors.HfHubHTTPError("no", response=REPLY), "cannot be reached"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_models_that_cannot_be_had_are_one_line(monkeypatch, error, words):
    monkeypatch.setattr(huggingface_hub, "snapshot_download", failing(error))
    with pytest.raises(InputError, match=words) as caught:
        fetch_model("EleutherAI/pythia-411m", None, weights=True)
    assert "\n" not in str(caught.value)


def test_only_descriptions_and_safetensors_are_downloaded(monkeypatch, checkpoint):
    asked = []

    def snapshot_download(name, *, revision, allow_patterns):
        asked.append((name, revision, allow_patterns))
        return str(checkpoint)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    config = RunConfig(model="pythia-14m", weights="pretrained", revision="step1000", context=24)
    model = build_model(config, 1024)
    assert model.config.hidden_size == 32
    assert model.config._commit_hash == checkpoint.name
    name, revision, patterns = asked[0]
    assert (name, revision) == ("EleutherAI/pythia-14m", "step1000")
    assert "*.safetensors" in patterns
    assert not any(p.endswith((".bin", ".pt", ".py")) or p == "*" for p in patterns)


def test_revisions_with_pickles_only_say_what_to_do(monkeypatch, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *a, **k: str(tmp_path))
    with pytest.raises(InputError, match=r"revision='step1' holds no safetensors.*Fix: take a revision"):
        fetch_model("EleutherAI/pythia-14m", "step1", weights=True)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (datasets.exceptions.DatasetNotFoundError("Dataset 'a/b' doesn't exist"), "no such dataset"),
        (datasets.exceptions.DatasetNotFoundError("is a gated dataset on the Hub"), "is gated"),
        (RuntimeError("Dataset scripts are no longer supported, but found b.py"), "script.*never run"),
        (
            ValueError("Unknown split \"training\". Should be one of ['train']"),
            "Unknown split.*documents_split",
        ),
        (ValueError("Config name is missing.\nPlease pick one"), "documents_subset"),
        (ConnectionError("Couldn't reach 'a/b' on the Hub"), r"prefetch\(RunConfig\(documents='a/b'\)\)"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_datasets_that_cannot_be_had_are_one_line(monkeypatch, error, words):
    monkeypatch.setattr(datasets, "load_dataset", failing(error))
    with pytest.raises(InputError, match=words) as caught:
        load_documents(dataclasses.replace(SMALL, documents="a/b"))
    assert "\n" not in str(caught.value)


def test_without_network_only_the_cache_is_asked_and_the_switch_put_back(monkeypatch):
    def unreachable(self, name, **options):
        raise httpx.ConnectError("no route")

    def load_dataset(name, subset, **options):
        assert datasets.config.HF_HUB_OFFLINE
        assert huggingface_hub.constants.HF_HUB_OFFLINE
        raise ConnectionError(f"Couldn't reach {name}")

    before = datasets.config.HF_HUB_OFFLINE, huggingface_hub.constants.HF_HUB_OFFLINE
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", unreachable)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(InputError, match="cannot be reached"):
        load_documents(dataclasses.replace(SMALL, documents="a/b"))
    assert before == (datasets.config.HF_HUB_OFFLINE, huggingface_hub.constants.HF_HUB_OFFLINE)


def test_prefetch_gets_what_a_run_needs_and_nothing_for_one_that_needs_none(monkeypatch, checkpoint):
    wanted = []
    table = datasets.Dataset.from_list([{"text": text} for text in texts(5)])
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: table)
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download",
        lambda name, **k: wanted.append((name, "*.safetensors" in k["allow_patterns"])) or str(checkpoint),
    )  # fmt: skip
    assert prefetch(RunConfig(model="pythia-14m")) == {}
    assert wanted == []
    found = prefetch(RunConfig(model="pythia-14m", weights="pretrained", documents="cnn_dailymail"))
    assert set(found) == {"documents", "model", "tokenizer"}
    assert ("EleutherAI/pythia-14m", True) in wanted


def test_prefetch_of_a_model_that_no_run_takes_is_refused():
    assert refusal(lambda: prefetch(RunConfig(model="gpt2"))).endswith("Fix: model='openai-community/gpt2'")
