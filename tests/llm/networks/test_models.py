"""Shapes, random weights, checkpoints and what is refused."""

import dataclasses
import json
import math
import shutil

import pytest
import torch
from transformers import AutoModelForCausalLM

from llm import RunConfig
from llm.names import SHAPES
from llm.networks.architecture import read_architecture
from llm.networks.models import build_model
from llm.networks.weights import weight_hash
from toymodel import InputError

# Parameters of the public checkpoints, as their pages give them.
PUBLIC = {
    "pythia-14m": 14_067_712,
    "pythia-31m": 30_494_720,
    "pythia-70m": 70_426_624,
    "pythia-160m": 162_322_944,
    "pythia-410m": 405_334_016,
    "pythia-1b": 1_011_781_632,
    "pythia-1.4b": 1_414_647_808,
    "pythia-2.8b": 2_775_208_960,
    "pythia-6.9b": 6_857_302_016,
    "pythia-12b": 11_846_072_320,
}
SMALL = RunConfig(model="pythia-14m", depth=2, context=16, device="cpu")


def test_every_public_size_is_there():
    assert set(PUBLIC) | {"embedded"} == set(SHAPES)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_size_has_the_public_number_of_parameters(name):
    architecture, folder = read_architecture(RunConfig(model=name))
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(architecture)
    assert sum(p.numel() for p in model.parameters()) == PUBLIC[name]
    assert folder is None
    assert architecture.rope_parameters["partial_rotary_factor"] == 0.25
    assert (architecture.hidden_act, architecture.use_parallel_residual) == ("gelu", True)
    assert not architecture.tie_word_embeddings


def test_overrides_change_what_they_say_and_nothing_else():
    own, _ = read_architecture(RunConfig(model="pythia-1b"))
    other, _ = read_architecture(RunConfig(model="pythia-1b", width=512, depth=4, heads=16))
    changed = {k: v for k, v in other.to_dict().items() if own.to_dict()[k] != v}
    assert changed == {"hidden_size": 512, "num_hidden_layers": 4, "num_attention_heads": 16}
    assert other.intermediate_size == 8192, "the program's width ablation leaves the feed-forward size"
    assert read_architecture(RunConfig(model="pythia-1b", feed_forward=64))[0].intermediate_size == 64


def test_pythia_weights_have_the_published_spread():
    model = build_model(SMALL, 1024)
    small, output = math.sqrt(2 / (5 * 128)), 2 / (2 * math.sqrt(128))
    for name, p in model.named_parameters():
        if p.ndim == 1:
            assert torch.equal(p, torch.full_like(p, float("norm" in name and name.endswith("weight")))), name
        else:
            expected = output if name.endswith(("attention.dense.weight", "4h_to_h.weight")) else small
            assert p.std().item() == pytest.approx(expected, rel=0.02), name
            assert abs(p.mean().item()) < 4 * expected / math.sqrt(p.numel()), name


def test_normal_weights_are_equal_everywhere():
    model = build_model(dataclasses.replace(SMALL, init="normal"), 1024)
    for name, p in model.named_parameters():
        if p.ndim == 2:
            assert p.std().item() == pytest.approx(0.02, rel=0.02), name


def test_random_weights_follow_the_seed_alone():
    torch.manual_seed(1)
    first = weight_hash(build_model(SMALL, 1024))
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    assert weight_hash(build_model(SMALL, 1024)) == first
    assert torch.equal(torch.random.get_rng_state(), state)
    assert weight_hash(build_model(dataclasses.replace(SMALL, seed=1), 1024)) != first


def test_half_precision_checkpoints_load_in_single_precision(checkpoint):
    assert json.loads((checkpoint / "config.json").read_text())["dtype"] == "float16"
    model = build_model(RunConfig(model=str(checkpoint), weights="pretrained", context=24), 1024)
    assert {p.dtype for p in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("weights", ["random", "pretrained"])
def test_the_vocabulary_is_cut_to_the_tokenizer_on_request(checkpoint, weights):
    config = RunConfig(model=str(checkpoint), weights=weights, context=24, vocabulary="tokenizer")
    model = build_model(config, 1000)
    assert model.get_input_embeddings().weight.shape[0] == 1000
    assert model.get_output_embeddings().weight.shape[0] == 1000
    tokens = torch.arange(10)[None]
    if weights == "pretrained":
        whole = build_model(dataclasses.replace(config, vocabulary="model"), 1000)
        torch.testing.assert_close(model(input_ids=tokens).logits, whole(input_ids=tokens).logits[..., :1000])


def test_streamlined_attention_is_the_librarys_bit_for_bit(checkpoint):
    model = build_model(RunConfig(model=str(checkpoint), weights="pretrained", context=24), 1024)
    plain = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
    tokens = torch.randint(0, 1000, (2, 24))
    comp, ref = (m(input_ids=tokens, labels=tokens) for m in (model, plain))
    assert torch.equal(comp.logits, ref.logits)
    comp.loss.backward()
    ref.loss.backward()
    for (name, a), b in zip(model.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-5, atol=1e-7, msg=name)


def without(folder, target, *names):
    shutil.copytree(folder, target)
    for name in names:
        (target / name).unlink()
    return str(target)


def test_pickled_weights_are_refused(checkpoint, tmp_path):
    folder = without(checkpoint, tmp_path / "old", "model.safetensors")
    torch.save({}, tmp_path / "old" / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"no model\.safetensors.*never loaded"):
        build_model(RunConfig(model=folder, weights="pretrained", context=24), 1024)


def test_damaged_weights_and_configurations_are_refused(checkpoint, tmp_path):
    folder = tmp_path / "cut"
    shutil.copytree(checkpoint, folder)
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    config = RunConfig(model=str(folder), weights="pretrained", context=24)
    with pytest.raises(InputError, match="weights of .* cannot be loaded"):
        build_model(config, 1024)
    (folder / "config.json").write_text('{"model_type": "no-such-network"}')
    with pytest.raises(InputError, match=r"config\.json cannot be used"):
        build_model(config, 1024)


def test_code_in_a_models_folder_is_never_run(checkpoint, tmp_path):
    folder = tmp_path / "code"
    shutil.copytree(checkpoint, folder)
    values = json.loads((folder / "config.json").read_text())
    values |= {
        "model_type": "mine",
        "auto_map": {"AutoConfig": "mine.Mine", "AutoModelForCausalLM": "mine.Net"},
    }
    (folder / "config.json").write_text(json.dumps(values))
    (folder / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').write('ran')\n")
    with pytest.raises(InputError, match=r"config\.json cannot be used"):
        build_model(RunConfig(model=str(folder), weights="pretrained", context=24), 1024)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("changes", "vocabulary", "words"),
    [
        ({"model": "pythia-14"}, 1024, "Fix: model='pythia-14m'"),
        ({"model": "pythia-14m", "context": 4096}, 1024, "at most 2048, the positions"),
        ({"model": "embedded"}, 50277, "tokenizer of 50277 tokens for an embedding of 1024 rows"),
        ({"model": "pythia-14m", "heads": 3}, 1024, "heads=3 at width 128.*Fix: heads=2"),
        ({"model": "pythia-14m", "width": 100, "heads": 8}, 1024, "heads=8 at width 100.*Fix: heads=5"),
        ({"model": "pythia-14m", "freeze_blocks": 7}, 1024, "at most the model's 6 blocks"),
        ({"model": "pythia-14m", "freeze_blocks": -7}, 1024, "at most the model's 6 blocks"),
        ({"model": "embedded", "weights": "pretrained"}, 1024, "a model that has weights"),
        (
            {"model": "pythia-14m", "weights": "pretrained", "depth": 3},
            1024,
            "the shape that the weights have",
        ),
        ({"model": "embedded", "mask_token": 5000, "mask_probability": 0.1}, 1024, "a token below 1024"),
    ],
)
def test_what_does_not_fit_is_one_line_with_the_fix(changes, vocabulary, words):
    with pytest.raises(InputError, match=words) as caught:
        build_model(RunConfig(**changes), vocabulary)
    assert "\n" not in str(caught.value)
