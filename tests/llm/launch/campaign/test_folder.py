"""The campaign's folder: claimed by its files, collected without weights."""

import os

import numpy as np
import pytest

from llm.cost.shape import network
from llm.cost.work import count_work
from llm.launch.campaign import ENTRIES, CampaignFolder, plan
from llm.launch.campaign.command import main
from llm.launch.campaign.listing import markdown, states
from llm.runs.finished import Run
from tests.llm.launch.campaign.entries import TWO
from toymodel import InputError, LossMatrix
from toymodel.base.lock import lock


def test_everything_runs_once_and_is_collected(go, tmp_path, capsys):
    found = go()
    assert [a.state for a in found.outcomes.values()] == ["finished"] * 3
    assert list(found.outcomes) == ["a-seed0", "b-seed0", "c-seed0"]  # `same` is `a`
    assert found.left == found.too_large == []
    assert capsys.readouterr().err.count("finished") == 3
    assert go().outcomes == {}
    facts = CampaignFolder(go.out).read()["runs"]["c-seed0"]
    run = next(r for r in plan(TWO) if r.name == "c-seed0")
    assert facts["operations"] == count_work(run.config, network(run.config).parameters).episode_operations(
        run.config
    )

    into = tmp_path / "collected"
    runs = plan(TWO)
    assert CampaignFolder(go.out).collect(into, runs) == [run.name for run in runs]
    assert CampaignFolder(go.out).collect(into, runs) == []
    names = sorted(str(f.relative_to(into)) for f in into.rglob("*") if f.is_file())
    kept = ["config.json", "log.jsonl", "losses.npz", "manifest.json"]
    files = [f"{run.name}/{k}" for run in runs for k in kept]
    assert names == sorted(["campaign.json", "provenance.json", "c-seed0/probes/pairwise.npz", *files])
    collected = Run.load(into / "c-seed0")
    np.testing.assert_array_equal(collected.losses.values, LossMatrix.load(go.out / "c-seed0").values)
    assert collected.manifest["execution"].startswith("eager (no CUDA")
    # Where these results are at hand, a fresh machine does not run them again.
    again = go(tmp_path / "elsewhere", recorded=[into])
    assert again.outcomes == {}
    table = markdown(states(plan(TWO), into), TWO)
    assert (table.count("| done, "), table.count("| pending |")) == (4, 0)


def test_a_rehearsal_is_never_a_result(go, tmp_path):
    go(rehearse=True, entries=ENTRIES, only=["fig9"])
    with pytest.raises(InputError, match="is a rehearsal; expected a campaign"):
        CampaignFolder(go.out).collect(tmp_path / "collected", plan())
    assert {state.word for state in states(plan(), go.out).values()} == {"pending"}


def test_folders_of_something_else(go, tmp_path, documents):
    go(only=["a"])
    other = tmp_path / "other.jsonl"
    other.write_text(documents.read_text().replace("the", "teh"))
    with pytest.raises(InputError, match=r"another campaign \(its documents.jsonl is not .*other.jsonl\)"):
        go(documents=other, tokenizer=documents.with_suffix(".tokenizer.json"))
    with pytest.raises(InputError, match="it is a campaign, this is a rehearsal"):
        go(rehearse=True)
    with pytest.raises(InputError, match="its precision is ieee, not bf16"):
        go(precision="bf16")
    with pytest.raises(InputError, match="precision='tf32' on a CPU, which has none"):
        go(tmp_path / "new", precision="tf32")
    assert not (tmp_path / "new").exists()
    (go.out / "documents.jsonl").write_text("{}")
    with pytest.raises(InputError, match=r"its documents.jsonl has changed since"):
        go(documents=None)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("...")
    with pytest.raises(InputError, match="exists and is no campaign"):
        go(tmp_path / "mine")
    with pytest.raises(InputError, match="is no collection"):
        CampaignFolder(go.out).collect(tmp_path / "mine", [])
    with pytest.raises(InputError, match=r"campaign.json' cannot be read"):
        CampaignFolder(tmp_path / "mine").read()


def test_one_process_at_a_time(go, tmp_path):
    with lock(go.out), pytest.raises(InputError, match="another process .* is working in"):
        go()
    go(only=["a"])
    with lock(tmp_path / "c"), pytest.raises(InputError, match="another process .* is working in"):
        CampaignFolder(go.out).collect(tmp_path / "c", plan(TWO))
    assert not (tmp_path / "c").exists()
    assert not (go.out / ".lock").exists()


@pytest.mark.parametrize("place", ["a pipe", "a file", "a folder", "documents of one's own"])
def test_nothing_is_written_over(go, tmp_path, monkeypatch, place):
    def computed(*args, **kwargs):
        raise AssertionError("refused before anything is computed")

    monkeypatch.setattr("llm.data.corpus.export_documents", computed)
    out = tmp_path / "there"
    if place == "a pipe":
        os.mkfifo(out)
    elif place == "a file":
        out.write_text("mine")
    else:
        out.mkdir()
        (out / ("thesis.tex" if place == "a folder" else "documents.jsonl")).write_text("mine")
    with pytest.raises(InputError, match="a pipe|a file|exists and is no campaign"):
        go(out, documents=None)
    kept = out if out.is_file() else next(iter(out.iterdir()), None) if out.is_dir() else None
    assert kept is None or kept.read_text() == "mine"
    assert main(["run", "--device", "cpu", "--out", str(out)]) == 2


def test_files_that_are_gone_come_back_or_are_named(go, documents):
    go(only=["a"])
    (go.out / "documents.jsonl").unlink()
    with pytest.raises(InputError, match="has lost its documents.jsonl"):
        go(documents=None)
    go(only=["b"])
    assert (go.out / "documents.jsonl").read_bytes() == documents.read_bytes()


def test_a_collection_of_another_campaign(go, tmp_path, documents, capsys):
    go(only=["a"])
    into = tmp_path / "collected"
    CampaignFolder(go.out).collect(into, plan(TWO))
    other = tmp_path / "other.jsonl"
    other.write_text(documents.read_text().replace("the", "teh"))
    options = {"documents": other, "tokenizer": documents.with_suffix(".tokenizer.json"), "only": ["a"]}
    second = tmp_path / "second"
    found = go(second, recorded=[into], **options)
    assert "holds another campaign" in capsys.readouterr().err
    assert found.outcomes["a-seed0"].state == "finished"
    with pytest.raises(InputError, match=r"holds results of another campaign"):
        CampaignFolder(second).collect(into, plan(TWO))


def test_weights_are_never_collected(go, tmp_path):
    go(only=["a"])
    folder = CampaignFolder(go.out)
    (go.out / "a-seed0" / "model.safetensors").write_bytes(b"weights")
    np.savez(go.out / "a-seed0" / "summaries.npz", a=1)
    folder.collect(tmp_path / "c", plan(TWO))
    assert {f.name for f in (tmp_path / "c" / "a-seed0").iterdir()} >= {"losses.npz", "summaries.npz"}
    assert not (tmp_path / "c" / "a-seed0" / "model.safetensors").exists()
    with (go.out / "a-seed0" / "probes.npz").open("wb") as file:
        file.truncate((16 << 20) + 1)
    with pytest.raises(InputError, match=r"has 16 MiB; expected results of at most 16 MiB"):
        folder.collect(tmp_path / "d", plan(TWO))


def test_documents_and_tokenizers_that_cannot_be_used(go, tmp_path, documents):
    bare = tmp_path / "bare.jsonl"
    bare.write_text(documents.read_text())
    with pytest.raises(InputError, match=r"documents='.*bare.jsonl' without a tokenizer"):
        go(documents=bare)
    with pytest.raises(InputError, match=r"tokenizer='.*nothing.json'; expected an existing file"):
        go(tokenizer=tmp_path / "nothing.json")
    with pytest.raises(InputError, match="is no tokenizer"):
        go(tokenizer=bare)
    large = tmp_path / "large.json"
    words = {f"w{i}": i for i in range(50305)}
    from tokenizers import Tokenizer, models

    Tokenizer(models.WordLevel(words, unk_token="w0")).save(str(large))
    with pytest.raises(InputError, match=r"of 50305 tokens; expected at most 50304"):
        go(tokenizer=large)
    assert not go.out.exists()
