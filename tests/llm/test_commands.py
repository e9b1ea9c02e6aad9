"""``reawaken llm ...`` as a user types it, in this process."""

import dataclasses
import json
import re
import signal

import numpy as np
import pytest

import reawaken
from llm import RunConfig, preset, run
from llm.cost.estimate import estimate
from llm.cost.size import measure_size
from llm.runs.show import show_any
from llm.runs.tracking import make_trackers
from tests.llm.given import Breakdown, Listener
from toymodel import LossMatrix
from toymodel.measures.lag import lag_profile

SMALL = [
    "--width", "16", "--depth", "1", "--heads", "2", "--feed-forward", "16", "--num-documents", "3",
    "--context", "8", "--steps", "2", "--epochs", "2", "--lr", "0.01",
]  # fmt: skip
# The embedded network has its preset's settings wherever nothing else is asked for.
CONFIG = dataclasses.replace(
    preset("embedded"), width=16, depth=1, heads=2, feed_forward=16, num_documents=3, context=8, steps=2,
    epochs=2, lr=0.01,
)  # fmt: skip


@pytest.fixture
def reawakens(capsys):
    """Run a command that must work; its standard output."""

    def call(*words):
        code = reawaken.main(["llm", *map(str, words)])
        out, err = capsys.readouterr()
        assert code == 0, err
        return out

    return call


@pytest.fixture
def refuses(capsys):
    """Run a command that must be refused; its one line on standard error."""

    def call(*words):
        code = reawaken.main(["llm", *map(str, words)])
        out, err = capsys.readouterr()
        assert (code, out) == (2, "")
        assert err.count("\n") == 1
        return err

    return call


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "finished"
    return run(dataclasses.replace(CONFIG, probes=("updates",)), folder)


def test_run_with_flags_is_the_run_of_python(reawakens, tmp_path):
    out = reawakens("run", *SMALL, "--out", tmp_path / "run", "--results", tmp_path / "x_results.npz")
    ref = run(CONFIG, tmp_path / "python").losses.values
    np.testing.assert_array_equal(LossMatrix.load(tmp_path / "run").values, ref)
    # The authors' format, as their own program's readers and ours expect it.
    np.testing.assert_array_equal(np.load(tmp_path / "x_results.npz")["eval_losses_ckpt"], ref)
    np.testing.assert_array_equal(LossMatrix.load(tmp_path / "x_results.npz").values, ref)
    assert CONFIG.id in out
    assert re.search(r"^recovery ", out, re.MULTILINE)


def test_no_bar_where_there_is_no_terminal(tmp_path, capfd):
    reawaken.main(["llm", "run", *SMALL, "--out", str(tmp_path / "run")])
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("words", [["--preset", "embedded-sgd"], ["--preset=embedded-sgd"]])
def test_a_preset_gives_defaults_and_flags_hold_over_it(tmp_path, capsys, words, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "llm.cost.estimate.estimate", lambda config, timed: seen.append(config) or "an estimate"
    )
    assert reawaken.main(["llm", "run", *words, "--context", "16", "--dry-run"]) == 0
    assert seen == [dataclasses.replace(preset("embedded-sgd"), context=16)]
    assert seen[0].context != preset("embedded-sgd").context
    # No other preset lingers in the next command.
    assert reawaken.main(["llm", "run", "--dry-run"]) == 0
    assert seen[1] == preset("embedded")


def test_without_a_preset_the_embedded_network_has_its_own_settings_and_others_the_papers(
    capsys, monkeypatch
):
    seen = []
    monkeypatch.setattr("llm.cost.estimate.estimate", lambda config, timed: seen.append(config) or "")
    for words in ([], ["--model", "embedded"], ["--model", "pythia-160m"], ["--model=pythia-14m"]):
        assert reawaken.main(["llm", "run", *words, "--dry-run"]) == 0
    paper = dataclasses.replace(RunConfig(), model="pythia-160m")
    assert seen == [preset("embedded")] * 2 + [paper, dataclasses.replace(paper, model="pythia-14m")]


def test_run_refuses(refuses, tmp_path):
    assert "Fix: --preset fig6-adam" in refuses("run", "--preset", "fig6-adm", "--out", tmp_path / "run")
    assert "Fix: --out " in refuses("run", *SMALL)
    assert "Fix: --dry-run --timed" in refuses("run", *SMALL, "--timed", "--out", tmp_path / "run")
    assert "--lr -1" in refuses("run", "--lr", "-1", "--out", tmp_path / "run")
    assert "Fix: --steps" in refuses("run", "--stesp", "3", "--out", tmp_path / "run")
    folder = tmp_path / "results.npz"
    folder.mkdir()
    assert "is a folder" in refuses("run", *SMALL, "--out", tmp_path / "run", "--results", folder)
    folder.rmdir()
    line = refuses("run", *SMALL, "--probes", "pca", "--probe-layer", "lm_hed", "--out", tmp_path / "run")
    assert line.endswith("Fix: --probe-layer lm_head\n")
    assert list(tmp_path.iterdir()) == []


def test_dry_run_writes_nothing_and_says_what_is_needed(reawakens, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = reawakens("run", *SMALL, "--out", "run", "--dry-run", "--device", "cpu")
    assert list(tmp_path.iterdir()) == []
    assert "6 episodes of 2: 12 gradient steps, 7 evaluations of 3 documents" in out
    assert "arithmetic" in out
    assert "nothing was written" in out
    out = reawakens("run", *SMALL, "--dry-run", "--timed", "--device", "cpu")
    assert "measured here, cpu" in out
    assert list(tmp_path.iterdir()) == []


def test_estimates_are_of_the_run(monkeypatch):
    found = estimate(dataclasses.replace(CONFIG, device="cpu"))
    assert (found.steps, found.evaluations) == (12, 7)
    assert 0 < found.seconds < 60
    # A device that is not here, and a network that does not fit, are arithmetic and say so.
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    away = estimate(RunConfig(model="pythia-410m", device="cuda"))
    assert "arithmetic for one NVIDIA H100" in str(away)
    assert "no GPU here" in str(away)
    assert 12 < away.seconds < 60  # bounds per step of 9.4 ms, and evaluations
    assert "GB free" in str(estimate(RunConfig(model="pythia-12b")))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_sizes_against_a_network_that_is_built(optimizer):
    from llm.networks.models import build_model, split_head

    config = RunConfig(width=32, heads=4, depth=3, context=40, optimizer=optimizer, freeze_blocks=1)
    import torch

    model = build_model(config, 10)
    size = measure_size(config)
    assert size.parameters == sum(p.numel() for p in model.parameters())
    assert size.trainable == sum(p.numel() for p in model.parameters() if p.requires_grad)
    # Products with every matrix but the table of embeddings, at every position, and attention's own.
    products = 2 * 40 * (size.parameters - model.get_input_embeddings().weight.numel())
    assert 0.9 * products < size.operations < 1.3 * products
    kept = {}
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage
        return tensor

    body, head = split_head(model)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        logits = head(body(torch.zeros((1, 40), dtype=torch.int64))[0, :-1])
    ref = sum(storage.nbytes() for storage in kept.values()) + 4 * logits.numel()
    assert size.activations == ref
    assert size.optimizer == (8 * size.trainable if optimizer == "adam" else 0)
    assert size.gradients == 4 * (
        size.trainable
        if optimizer == "adam"
        else max(p.numel() for p in model.parameters() if p.requires_grad)
    )


def test_the_disk_that_trajectories_need():
    config = RunConfig(num_documents=5, epochs=2, probes=("residuals", "pca"))
    size = measure_size(config)
    assert size.disk == 4 * (2 * size.trainable + 11 * (size.parameters + 192 * 1024))
    one = measure_size(dataclasses.replace(config, probe_layer="output"))
    assert one.disk == 4 * (2 * size.trainable + 11 * 192 * 1024)


def test_presets(reawakens, refuses):
    listed = reawakens("presets")
    for name in ("embedded", "fig6-adam", "fig18-200", "sec4-reversed", "control-iid"):
        assert re.search(rf"^{name} ", listed, re.MULTILINE)
    shown = reawakens("presets", "fig6-adam")
    assert "--optimizer adam" in shown
    assert "--model pythia-1b" in shown
    assert reawakens("presets", "fig6").count("--model pythia-1b") == 2
    assert "fig6" in refuses("presets", "fig66")


def test_documents(reawakens, refuses, tmp_path):
    file = tmp_path / "texts.jsonl"
    texts = ["The cat sat on the mat. " * 40, "No."]
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    out = reawakens("documents", "--documents", file, "--num-documents", "2", "--context", "16")
    lines = out.splitlines()
    assert len(lines) == 5
    assert "16 tokens" in lines[0]
    assert "padded to 16" in lines[1]
    assert lines[2] == "documents taken in the order of their source"
    assert re.fullmatch(r"tokenizer byte-level BPE of \d+ tokens trained on the documents' source", lines[3])
    assert re.fullmatch(r"tokens sha256 [0-9a-f]{64}", lines[4])
    assert "--num-documents" in refuses("documents", "--documents", file, "--num-documents", "3")


def test_prefetch_of_what_needs_no_network(reawakens):
    assert "nothing to download" in reawakens("prefetch", "--preset", "embedded")


def test_show_a_finished_run(reawakens, finished):
    out = reawakens("show", finished.path)
    assert f"by lag    {lag_profile(finished.losses).recovered:.3f} of what" in out
    assert "finished" in out
    assert "num_documents=3" in out
    assert "3 documents" in out
    assert re.search(r"^probes +updates$", out, re.MULTILINE)
    (score,) = finished.recovery()
    assert (f"{score.value:.3f}" if score else score.reason) in out
    assert finished.manifest["model"]["sha256"][:12] in out


def test_show_an_unfinished_run(reawakens, tmp_path):
    config = dataclasses.replace(CONFIG, epochs=4, probes=("updates", "pairwise"))
    with pytest.raises(OSError, match="went down"):
        run(config, tmp_path / "run", trackers=[Breakdown(7)])
    out = reawakens("show", tmp_path / "run")
    assert re.search(r"unfinished: [67] of 12 episodes, mean loss [0-9.]+", out)
    assert "none yet (to come: updates, pairwise)" in out
    with (tmp_path / "run" / "log.jsonl").open("a") as file:
        file.write('{"episode": 8, "mea')  # as it looks while a line is written
    assert reawakens("show", tmp_path / "run") == out


def test_show_a_folder_of_runs(reawakens, refuses, finished, tmp_path):
    out = reawakens("show", finished.path.parent)
    assert re.search(r"^finished +finished", out, re.MULTILINE)
    near = refuses("show", finished.path.parent / "finish")
    assert near.endswith(f"Fix: reawaken llm show {finished.path}\n")
    assert "starts one" in refuses("show", tmp_path / "nothing")


def test_sweep(reawakens, refuses, tmp_path):
    words = ["sweep", "--out", tmp_path / "sweep", "--seeds", "0", "1"]
    vary = [
        "--vary",
        "width=16",
        "depth=1",
        "heads=2",
        "num_documents=3",
        "context=8",
        "epochs=2",
        "steps=1,2",
    ]
    plan = reawakens(*words, *vary, "--dry-run")
    assert not (tmp_path / "sweep").exists()
    assert plan.count(" new") == 4
    out = reawakens(*words, *vary, "--per-job", "4")
    assert out.count(" finished") == 4
    assert out.splitlines()[0].split() == ["run", "steps", "seed", "state", "recovery"]
    assert len(list((tmp_path / "sweep").iterdir())) == 4
    assert show_any(tmp_path / "sweep").count(" finished") == 4
    assert "Fix: --vary steps=" in refuses(*words, "--vary", "step=3")
    assert "fig6" in refuses(*words, "--presets", "fig66")
    assert "NAME=VALUE" in refuses(*words, *vary, "--submitit", "fast", "--launcher", "submitit")


def test_sweep_takes_whole_families(reawakens, tmp_path):
    plan = reawakens("sweep", "--out", tmp_path / "s", "--presets", "fig6-random", "embedded", "--dry-run")
    assert plan.count(" new") == 4
    assert "optimizer" in plan.splitlines()[0]


def test_a_sweep_with_failures_says_so_and_exits_with_1(capsys, tmp_path):
    vary = ["width=16", "depth=1", "heads=2", "num_documents=3", "context=8", "epochs=1", "lr=1e30,0.01"]
    code = reawaken.main(["llm", "sweep", "--out", str(tmp_path), "--vary", *vary])
    out, err = capsys.readouterr()
    assert code == 1
    assert "1 of 2 runs failed" in err
    assert out.count(" finished") == 1


def test_trackers_come_from_flags(monkeypatch, tmp_path, capsys):
    seen = []
    monkeypatch.setattr(
        "llm.runs.tracking.make_trackers", lambda **options: seen.append(options) or make_trackers()
    )
    reawaken.main(["llm", "run", *SMALL, "--out", str(tmp_path / "a"), "--tensorboard", "--wandb", "mine"])
    assert seen == [{"tensorboard": True, "wandb": "mine"}]


def test_ctrl_c_exits_with_130_and_the_command_goes_on(monkeypatch, tmp_path, capsys):
    class Impatient(Listener):
        def after_episode(self, run, episode):
            if episode == 2:
                signal.raise_signal(signal.SIGINT)

    words = ["llm", "run", *SMALL, "--out", str(tmp_path / "run")]
    with monkeypatch.context() as patch:
        patch.setattr("llm.runs.tracking.make_trackers", lambda **options: [Impatient()])
        assert reawaken.main(words) == 130
    assert "stopped after episode 2 of 6" in capsys.readouterr().err
    assert reawaken.main(words) == 0
    ref = run(CONFIG, tmp_path / "python").losses.values
    np.testing.assert_array_equal(LossMatrix.load(tmp_path / "run").values, ref)
