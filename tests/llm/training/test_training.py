"""The loop against a plain one, and what its settings do."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from llm import Run, RunConfig, run
from llm.data.documents import load_documents
from llm.networks.precision import precision
from llm.tasks.order import episode_order
from llm.training.saving import AfterEpisodes
from tests.llm.given import Listener
from tests.oracles import plain_language_run
from toymodel import InputError, LossMatrix

OPTIMIZERS = {
    "sgd": lambda p, lr: torch.optim.SGD(p, lr=lr),
    "adam": lambda p, lr: torch.optim.Adam(p, lr=lr),
    "adamw": lambda p, lr: torch.optim.AdamW(p, lr=lr),
}
TINY = RunConfig(width=16, depth=2, heads=2, feed_forward=32, context=12, num_documents=4, steps=2, epochs=3,
                 lr=0.05, device="cpu")  # fmt: skip


@pytest.fixture
def config(checkpoint, jsonl):
    return RunConfig(
        model=str(checkpoint), weights="pretrained", documents=str(jsonl), num_documents=5, context=24,
        steps=3, epochs=2, lr=0.02, device="cpu",
    )  # fmt: skip


def plain(config, folder, change=lambda model: None):
    """The oracle's loss matrix, from the checkpoint and documents of a configuration."""
    documents = load_documents(config)
    unpadded = [
        row[labels >= 0].tolist() for row, labels in zip(documents.tokens, documents.labels, strict=True)
    ]
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    change(model)

    def optimizer(parameters):
        return OPTIMIZERS[config.optimizer]([p for p in parameters if p.requires_grad], config.rate)

    order = episode_order(config).ravel()
    return plain_language_run(model, unpadded, order, config.steps, optimizer, config.reset_optimizer)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "adam", "lr": 1e-3},
        {"optimizer": "adam", "lr": 1e-3, "reset_optimizer": False},
        {"optimizer": "adamw", "lr": 1e-3},
        {"schedule": "iid", "scale_lr": True},
    ],
    ids=lambda c: "-".join(map(str, c.values())) or "sgd",
)
def test_every_entry_is_that_of_a_plain_loop(config, checkpoint, tmp_path, changes):
    config = dataclasses.replace(config, **changes)
    comp = run(config, tmp_path / "run").losses
    ref = plain(config, checkpoint)
    assert load_documents(config).padded == 1
    np.testing.assert_allclose(comp.values, ref, atol=1e-4, rtol=0)
    assert ref[0].mean() - ref[-1].mean() > 0.1, "nothing was learned: the comparison shows nothing"


@pytest.mark.parametrize(("blocks", "embeddings"), [(2, False), (-1, True), (0, True)])
def test_frozen_parts_keep_every_bit_and_the_rest_trains_as_in_a_plain_loop(
    config, checkpoint, tmp_path, blocks, embeddings
):
    config = dataclasses.replace(config, freeze_blocks=blocks, freeze_embeddings=embeddings)

    def freeze(model):
        layers = model.gpt_neox.layers
        frozen = list(layers[:blocks] if blocks > 0 else layers[len(layers) + blocks :])
        for module in frozen + ([model.gpt_neox.embed_in] if embeddings else []):
            module.requires_grad_(False)

    final = {}
    comp = run(config, tmp_path / "run", trackers=[Keep(final)]).losses
    np.testing.assert_allclose(comp.values, plain(config, checkpoint, freeze), atol=1e-4, rtol=0)
    before = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
    freeze(before)
    for name, parameter in before.named_parameters():
        assert torch.equal(parameter, final[name]) != parameter.requires_grad, name


class Keep(Listener):
    """Keeps the weights after the last episode."""

    def __init__(self, weights):
        self.weights = weights

    def after_episode(self, view, episode):
        self.weights.update({name: p.detach().clone() for name, p in view.model.named_parameters()})


@pytest.mark.parametrize("name", ["gpt2", "llama", "mistral"])
def test_any_causal_language_model_trains_as_in_a_plain_loop(config, other_checkpoints, tmp_path, name):
    folder = other_checkpoints[name]
    config = dataclasses.replace(config, model=str(folder), lr=0.1)

    def no_dropout(model):
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        for layer in getattr(model, "transformer", model).modules():
            if hasattr(layer, "attn_dropout"):
                layer.attn_dropout.p = 0.0

    comp = run(config, tmp_path / "run").losses
    np.testing.assert_allclose(comp.values, plain(config, folder, no_dropout), atol=1e-4, rtol=0)


def test_dropout_is_off_unless_asked_for_and_seeded_by_the_step(config, other_checkpoints, tmp_path):
    config = dataclasses.replace(config, model=str(other_checkpoints["gpt2"]), dropout=True)
    before = torch.random.get_rng_state()
    first = run(config, tmp_path / "a").losses.values
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(99)
    again = run(config, tmp_path / "b").losses.values
    off = run(dataclasses.replace(config, dropout=False), tmp_path / "c").losses.values
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first[0], off[0])  # evaluation is without dropout
    assert np.abs(first[1:] - off[1:]).max() > 1e-3


def test_summaries_are_evaluated_beside_the_documents(config, checkpoint, tmp_path):
    with_summaries = run(dataclasses.replace(config, evaluate_summaries=True), tmp_path / "run")
    alone = run(config, tmp_path / "alone")
    summaries = with_summaries.extra("summaries")
    np.testing.assert_array_equal(with_summaries.losses.values, alone.losses.values)
    assert summaries.values.shape == alone.losses.values.shape
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    documents = load_documents(with_summaries.config)
    ids = torch.tensor([documents.summaries[1][documents.summary_labels[1] >= 0].tolist()])
    with torch.no_grad():
        assert summaries.values[0, 1] == pytest.approx(model(input_ids=ids, labels=ids).loss.item(), abs=1e-5)


def test_precision_in_force_is_recorded_and_put_back(tmp_path):
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.allow_tf32 = True
    try:
        ieee = run(TINY, tmp_path / "ieee")
        with precision(dataclasses.replace(TINY, precision="tf32")):
            assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == ("high", True)
        bf16 = run(dataclasses.replace(TINY, precision="bf16"), tmp_path / "bf16")
        assert torch.get_float32_matmul_precision() == "medium"
        assert torch.backends.cudnn.allow_tf32
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
    said = {r.config.precision: r.manifest["precision"] for r in (ieee, bf16)}
    assert said["ieee"] == {"weights": "float32", "matmul": "highest", "cudnn_tf32": False, "autocast": None}
    assert said["bf16"]["autocast"] == "bfloat16"
    difference = np.abs(bf16.losses.values - ieee.losses.values).max()
    assert 1e-6 < difference < 0.1


def test_evaluation_does_not_depend_on_how_it_is_cut_into_batches(config, tmp_path, monkeypatch):
    import llm.tasks.language

    whole = run(dataclasses.replace(config, epochs=1), tmp_path / "whole").losses.values
    monkeypatch.setattr(llm.tasks.language, "_BUDGET", {"cpu": 4 * 2 * 24 * 128 * 4})
    cut = run(dataclasses.replace(config, epochs=1), tmp_path / "cut").losses.values
    np.testing.assert_allclose(cut, whole, atol=1e-5, rtol=0)


def test_a_run_that_diverges_says_so_and_leaves_no_result(tmp_path):
    with pytest.raises(InputError, match="no longer finite after episode"):
        run(dataclasses.replace(TINY, lr=1e30, width=16), tmp_path / "run")
    assert not (tmp_path / "run" / "losses.npz").exists()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.\nMore lines"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_too_little_memory_says_how_much_and_what_lowers_it_and_loses_nothing(tmp_path, monkeypatch, error):
    from llm.tasks.language import LanguageAdapter

    config = dataclasses.replace(TINY, optimizer="adam", lr=1e-3)
    whole = run(config, tmp_path / "whole").losses.values
    load = LanguageAdapter.load

    def exhausted(self, task, episode=None, step=0):
        if episode == 5:
            raise error
        load(self, task, episode, step)

    with monkeypatch.context() as patch:
        patch.setattr(LanguageAdapter, "load", exhausted)
        with pytest.raises(
            InputError, match=r"out of memory.*about 0\.\d GB free.*optimizer='sgd'"
        ) as caught:
            run(config, tmp_path / "run", saving=AfterEpisodes(1))
    assert "\n" not in str(caught.value)
    np.testing.assert_array_equal(run(config, tmp_path / "run").losses.values, whole)


def test_other_errors_are_not_taken_for_too_little_memory(tmp_path, monkeypatch):
    from llm.tasks.language import LanguageAdapter

    def broken(self):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(LanguageAdapter, "counted", broken)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        run(TINY, tmp_path / "run")


def test_results_are_readable_in_the_authors_format(tmp_path):
    finished = run(TINY, tmp_path / "run")
    finished.save_results(tmp_path / "cyclic_results.npz")
    with np.load(tmp_path / "cyclic_results.npz", allow_pickle=False) as stored:
        np.testing.assert_array_equal(stored["eval_losses_ckpt"], finished.losses.values)
    np.testing.assert_array_equal(
        LossMatrix.load(tmp_path / "cyclic_results.npz").values, finished.losses.values
    )


def test_the_run_folder_holds_config_manifest_log_and_losses(tmp_path):
    finished = run(TINY, tmp_path / "run")
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    assert stored.pop("checksum").startswith("xxh3-128:")
    assert stored == TINY.to_json()
    manifest = finished.manifest
    assert manifest["tasks"]["sha256"] == load_documents(TINY).sha256
    assert manifest["model"]["parameters"] == manifest["model"]["trainable"] > 0
    assert {"python", "torch", "transformers"} <= set(manifest["versions"])
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["episode"] for line in log] == list(range(1, 13))
    again = Run.load(tmp_path / "run")
    np.testing.assert_array_equal(again.losses.values, finished.losses.values)
    assert len(again.recovery()) == 2
    assert len(again.plot().axes) == 2


def test_another_configuration_in_the_folder_is_named_field_by_field(tmp_path):
    run(TINY, tmp_path / "run")
    with pytest.raises(InputError, match=r"lr: 0\.1 against 0\.05; seed: 4 against 0"):
        run(dataclasses.replace(TINY, lr=0.1, seed=4), tmp_path / "run")
