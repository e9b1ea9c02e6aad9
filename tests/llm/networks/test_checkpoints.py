"""What a user's own checkpoint must be: causal, sound in its sizes, with the tokenizer of its weights."""

import dataclasses
import json

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import llm
import reawaken
from llm import RunConfig, run
from llm.data.corpus import train_tokenizer
from llm.data.documents import load_documents
from llm.networks.architecture import read_architecture
from llm.networks.models import build_model
from llm.runs.show import show_run
from tests.llm.given import refusal, texts

SHAPE = {"vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
SMALL = RunConfig(num_documents=3, context=12, steps=1, epochs=2, device="cpu")


def saved(folder, kind, config):
    torch.manual_seed(3)
    getattr(transformers, kind)(config).save_pretrained(folder)
    return str(folder)


def llama(folder, **changes):
    shape = SHAPE | {"intermediate_size": 64, "max_position_embeddings": 64} | changes
    return saved(folder, "LlamaForCausalLM", transformers.LlamaConfig(**shape))


@pytest.mark.parametrize("weights", ["random", "pretrained"])
@pytest.mark.parametrize("kind", ["Bert", "Roberta"])
def test_a_network_that_looks_ahead_is_refused(tmp_path, kind, weights):
    config = getattr(transformers, f"{kind}Config")(**SHAPE, intermediate_size=64, max_position_embeddings=64)
    name = {"Bert": "BertLMHeadModel", "Roberta": "RobertaForCausalLM"}[kind]
    run = dataclasses.replace(SMALL, model=saved(tmp_path / "m", name, config), weights=weights)
    said = refusal(lambda: build_model(run, 300))
    assert "is not causal" in said
    assert '"is_decoder": true' in said
    values = json.loads((tmp_path / "m" / "config.json").read_text())
    (tmp_path / "m" / "config.json").write_text(json.dumps(values | {"is_decoder": True}))
    build_model(run, 300)


def test_an_encoder_decoder_is_called_one(tmp_path):
    config = transformers.T5Config(vocab_size=300, d_model=32, d_ff=64, num_layers=1, num_heads=4, d_kv=8)
    folder = saved(tmp_path / "t5", "T5ForConditionalGeneration", config)
    for weights in ("random", "pretrained"):
        run = dataclasses.replace(SMALL, model=folder, weights=weights)
        said = refusal(lambda run=run: build_model(run, 300))
        assert "is an encoder-decoder (t5)" in said
        assert "again" not in said


def test_what_is_no_language_model_is_called_so(tmp_path):
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64}
    folder = saved(tmp_path / "vit", "ViTModel", transformers.ViTConfig(**shape))
    assert "is no language model (vit)" in refusal(
        lambda: build_model(dataclasses.replace(SMALL, model=folder), 300)
    )


@pytest.mark.parametrize("weights", ["random", "pretrained"])
def test_networks_without_attention_train(tmp_path, weights):
    config = transformers.MambaConfig(vocab_size=300, hidden_size=32, num_hidden_layers=2)
    folder = saved(tmp_path / "mamba", "MambaForCausalLM", config)
    train_tokenizer(texts(9), 300).save(f"{folder}/tokenizer.json")
    run = dataclasses.replace(SMALL, model=folder, weights=weights, freeze_blocks=1, lr=0.1)
    losses = llm.run(run, tmp_path / "run").losses.values
    assert losses[-1].mean() < losses[0].mean()
    said = refusal(lambda: read_architecture(dataclasses.replace(SMALL, model=folder, width=64, heads=2)))
    assert said.startswith("heads of ")
    assert "lacks num_attention_heads" in said


def test_overrides_reach_architectures_with_names_of_their_own(tmp_path, other_checkpoints):
    run = dataclasses.replace(SMALL, model=str(other_checkpoints["gpt2"]), width=48, depth=3, heads=6)
    architecture, _ = read_architecture(run)
    assert (architecture.n_embd, architecture.n_layer, architecture.n_head) == (48, 3, 6)
    assert build_model(run, 1000).get_input_embeddings().weight.shape == (1056, 48)
    said = refusal(lambda: read_architecture(dataclasses.replace(run, feed_forward=64)))
    assert "feed_forward of" in said
    assert "lacks intermediate_size" in said


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden_size": 10**9}, "would take"),
        ({"intermediate_size": 10**15}, "would take"),
        ({"vocab_size": 10**13}, "would take"),
        ({"head_dim": 10**12}, "would take"),
        ({"num_hidden_layers": 10**12}, "would take"),
        ({"hidden_size": "x"}, "hidden_size"),
        ({"hidden_size": float("nan")}, "hidden_size"),
        ({"hidden_size": None}, "hidden_size"),
        ({"vocab_size": float("inf")}, "vocab_size"),
        ({"num_hidden_layers": -1}, "says num_hidden_layers -1"),
        ({"num_hidden_layers": 0}, "says num_hidden_layers 0"),
        ({"num_attention_heads": 0}, "cannot be used"),
        ({"num_attention_heads": 3}, "(3)"),
        ({"num_key_value_heads": 3}, "does not run"),
        ({"num_key_value_heads": 10**18}, "no network can be built"),
        ({"hidden_act": "nope"}, "no network can be built"),
        ({"pad_token_id": 10**6}, "no network can be built"),
        ({"rope_parameters": 5}, "rope_parameters"),
        ({"model_type": 5}, "does not recognize"),
    ],
)
def test_a_wrong_configuration_is_one_line(tmp_path, changes, words):
    folder = llama(tmp_path / "m")
    file = tmp_path / "m" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    said = refusal(lambda: build_model(dataclasses.replace(SMALL, model=folder), 300))
    assert words in said
    assert ("upgrade" in said) == ("model_type" in changes)


def test_weights_of_another_shape_are_named(tmp_path):
    folder = llama(tmp_path / "m")
    file = tmp_path / "m" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"vocab_size": 320}))
    run = dataclasses.replace(SMALL, model=folder, weights="pretrained")
    assert "has (300, 32), not (320, 32)" in refusal(lambda: build_model(run, 300))


@pytest.mark.parametrize("content", ["[" * 100_000, '{"a":' * 100_000, "5", "null", "[]", '"x"', "", "{"])
def test_a_configuration_that_is_none_is_one_line(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    config = dataclasses.replace(SMALL, model=str(tmp_path))
    refusal(lambda: build_model(config, 300))
    refusal(lambda: run(config, tmp_path / "run"))  # which looks for a tokenizer in the folder, too
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("gpt2", "model='openai-community/gpt2'"),
        ("opt-125m", "model='facebook/opt-125m'"),
        ("pythia-1bb", "model='pythia-1b'"),
        ("bloom", "check the path, or write OWNER/NAME as on the model's page"),
        ("absent.gguf", "check the path, or write OWNER/NAME as on the model's page"),
    ],
)
def test_an_unknown_model_gets_a_fix_that_is_meant(name, fix):
    assert refusal(lambda: read_architecture(RunConfig(model=name))).endswith(f"Fix: {fix}")


def test_a_file_or_a_folder_that_is_no_checkpoint_is_called_so(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"x")
    file = str(tmp_path / "model.safetensors")
    assert refusal(lambda: read_architecture(RunConfig(model=file))).count(f"model='{tmp_path}', its folder")
    assert "without config.json" in refusal(lambda: read_architecture(RunConfig(model=str(tmp_path))))


def tokenizer_of(run):
    return load_documents(run).origin["tokenizer"]


def test_trained_weights_never_get_an_invented_tokenizer(tmp_path):
    run = dataclasses.replace(SMALL, model=llama(tmp_path / "m"), weights="pretrained")
    said = refusal(lambda: load_documents(run))
    assert "holds no tokenizer" in said
    assert "Fix: tokenizer" in said
    train_tokenizer(texts(9), 300).save(str(tmp_path / "own.json"))
    with_own = dataclasses.replace(run, tokenizer=str(tmp_path / "own.json"))
    assert tokenizer_of(with_own) == str(tmp_path / "own.json")
    made = tokenizer_of(dataclasses.replace(run, weights="random"))
    assert made == "byte-level BPE of 300 tokens trained on the documents' source"


@pytest.mark.parametrize("kind", ["llama", "gpt2", "alone"])
def test_vocabulary_and_merges_are_a_tokenizer(tmp_path, kind):
    fast = train_tokenizer(texts(9), 290)
    folder = tmp_path / "m"
    if kind == "llama":
        llama(folder)
    elif kind == "gpt2":
        config = transformers.GPT2Config(vocab_size=300, n_embd=32, n_layer=1, n_head=4)
        saved(folder, "GPT2LMHeadModel", config)
    folder.mkdir(exist_ok=True)
    fast.model.save(str(folder))
    own = {"tokenizer": str(folder)} if kind == "alone" else {"model": str(folder), "weights": "pretrained"}
    found = load_documents(dataclasses.replace(SMALL, **own))
    (tmp_path / "ref.json").write_text(fast.to_str())
    ref = load_documents(dataclasses.replace(SMALL, tokenizer=str(tmp_path / "ref.json")))
    assert found.sha256 == ref.sha256
    assert str(folder) in found.origin["tokenizer"]


def test_a_pair_of_files_that_is_no_byte_level_bpe_is_refused(tmp_path):
    (tmp_path / "vocab.json").write_text(json.dumps({"a": 0, "b": 1, "ab</w>": 2, "b</w>": 3}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b</w>\n")
    said = refusal(lambda: load_documents(dataclasses.replace(SMALL, tokenizer=str(tmp_path))))
    assert "is no byte-level BPE" in said


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"tokenizer.json": b"{}"}, "is no tokenizer"),
        ({"tokenizer.model": b"broken" * 9}, "is neither a SentencePiece model nor tiktoken's"),
        ({"vocab.json": b"{}"}, "does not load"),
        ({"vocab.json": b"{", "merges.txt": b""}, "are no tokenizer"),
        ({"merges.txt": b"#version: 0.2\n"}, "does not load"),
        ({"tokenizer_config.json": b'{"tokenizer_class": "GPT2Tokenizer"}'}, "holds no tokenizer"),
    ],
)
def test_a_tokenizer_that_is_broken_or_empty_is_one_line(tmp_path, files, words):
    folder = llama(tmp_path / "m")
    for name, content in files.items():
        (tmp_path / "m" / name).write_bytes(content)
    run = dataclasses.replace(SMALL, model=folder, weights="pretrained")
    assert words in refusal(lambda: load_documents(run))
    assert words in refusal(lambda: load_documents(dataclasses.replace(SMALL, tokenizer=folder)))


def test_the_tokenizer_is_named_wherever_documents_and_runs_are_shown(tmp_path, capsys):
    flags = ["--num-documents", "3", "--context", "12", "--steps", "1", "--epochs", "2"]
    flags += ["--model", llama(tmp_path / "m")]
    made = "tokenizer byte-level BPE of 300 tokens trained on the documents' source"
    for words in (["documents", *flags], ["run", *flags, "--out", str(tmp_path / "run")]):
        assert reawaken.main(["llm", *words]) == 0
        assert made in capsys.readouterr().out


def test_a_checkpoint_of_more_blocks_than_its_settings_say_is_another_network(tmp_path):
    folder = llama(tmp_path / "m", num_hidden_layers=3)
    file = tmp_path / "m" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"num_hidden_layers": 1}))
    run = dataclasses.replace(SMALL, model=folder, weights="pretrained")
    said = refusal(lambda: build_model(run, 300))
    assert "have model.layers.1.input_layernorm.weight, beyond what its settings say" in said
    build_model(dataclasses.replace(run, weights="random"), 300)


def test_trained_weights_that_know_nothing_or_are_not_all_used_are_told(tmp_path, capsys):
    folder = llama(tmp_path / "m")
    train_tokenizer(texts(9), 300).save(f"{folder}/tokenizer.json")
    file = tmp_path / "m" / "model.safetensors"
    weights = load_file(file)
    weights["lm_head.weight"] *= 50  # certain, and wrong
    save_file(weights | {"value_head.weight": torch.ones(3)}, file, {"format": "pt"})
    run = dataclasses.replace(SMALL, model=folder, weights="pretrained")
    llm.run(run, tmp_path / "run")
    for said in (capsys.readouterr().err, show_run(tmp_path / "run")):
        assert "holds more than this network has (value_head.weight)" in said
        assert "is that of a guess among 300 tokens, 5.704, or worse: is the tokenizer theirs?" in said
    weights["lm_head.weight"] *= 0
    weights["lm_head.weight"][0, 0] = float("nan")
    save_file(weights, file, {"format": "pt"})
    said = refusal(lambda: llm.run(run, tmp_path / "nan"))
    assert "not finite before anything is trained" in said
    assert "copy or download the checkpoint again" in said
    llm.run(dataclasses.replace(run, weights="random"), tmp_path / "random")
    assert "guess" not in capsys.readouterr().err + show_run(tmp_path / "random")
