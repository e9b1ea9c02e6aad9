"""Checkpoints in one GGUF file, written here as llama.cpp's converter writes them."""

import dataclasses
import json

import numpy as np
import pytest
import torch
import transformers

import llm
import reawaken
from llm import RunConfig
from llm.data.corpus import train_tokenizer
from llm.data.documents import load_documents
from llm.data.gguf import quantization
from llm.networks.architecture import read_architecture
from llm.networks.models import build_model
from tests.llm.given import refusal, texts

gguf = pytest.importorskip("gguf")

HEADS, WIDTH = 4, 64
RUN = RunConfig(num_documents=3, context=12, steps=1, epochs=2, device="cpu", weights="pretrained")


def make(kind, **changes):
    """A network whose every matrix has whole blocks of 32."""
    torch.manual_seed(4)
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=320, hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=HEADS,
        num_key_value_heads=HEADS, intermediate_size=96, max_position_embeddings=64,
        tie_word_embeddings=False, **changes,
    )  # fmt: skip
    return getattr(transformers, f"{kind}ForCausalLM")(config)


@pytest.fixture(scope="module")
def network():
    return make("Llama")


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(texts(30), 310)


def rotated(weight):
    """Rows of a query or key matrix as llama.cpp orders them: the two halves of each head interleaved."""
    return weight.reshape(HEADS, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def write(path, network, tokenizer, kind="F32", architecture=None):
    """A GGUF file with the network's matrices stored as `kind`; the tensors as a reader will see them."""
    config, stored = network.config, gguf.GGMLQuantizationType[kind]
    writer = gguf.GGUFWriter(path, architecture or config.model_type)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(WIDTH // HEADS)
    writer.add_value_length(WIDTH // HEADS)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    words = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    words.append("<|endoftext|>")
    words += [f"<unused{n}>" for n in range(config.vocab_size - len(words))]
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(words)
    writer.add_token_types([1] * len(words))
    writer.add_bos_token_id(tokenizer.get_vocab_size())
    writer.add_eos_token_id(tokenizer.get_vocab_size())
    writer.add_token_merges([" ".join(pair) for pair in merges])
    seen = {}
    kinds = {words: kind for kind, words in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(kinds[config.model_type], config.num_hidden_layers)
    for name, parameter in network.state_dict().items():
        short = names.get_name(name, (".weight", ".bias"))
        values = parameter.numpy()
        if config.model_type == "llama" and short.endswith(("attn_q.weight", "attn_k.weight")):
            values = rotated(values)
        if values.ndim == 2 and kind != "F32":
            blocks = gguf.quants.quantize(values, stored)
            writer.add_tensor(short, blocks, raw_dtype=stored)
            values = gguf.quants.dequantize(blocks, stored)
        else:
            writer.add_tensor(short, np.ascontiguousarray(values))
        seen[name] = values
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return seen


def given_as(path, **changes):
    return dataclasses.replace(RUN, model=str(path), **changes)


@pytest.mark.parametrize("kind", ["Llama", "Qwen2"])
def test_a_file_of_whole_numbers_is_the_network_itself(tmp_path, tokenizer, kind):
    network = make(kind)
    write(tmp_path / "a.gguf", network, tokenizer)
    loaded = build_model(given_as(tmp_path / "a.gguf"), 310)
    for (name, comp), ref in zip(loaded.named_parameters(), network.parameters(), strict=True):
        assert torch.equal(comp, ref), name
    tokens = torch.arange(12)[None] * 7
    with torch.no_grad():
        torch.testing.assert_close(loaded(input_ids=tokens).logits, network(input_ids=tokens).logits)


@pytest.mark.parametrize("kind", ["F16", "Q8_0", "Q4_0", "Q4_1", "Q5_1"])
def test_stored_weights_are_read_as_float32(tmp_path, network, tokenizer, kind):
    seen = write(tmp_path / "a.gguf", network, tokenizer, kind)
    loaded = build_model(given_as(tmp_path / "a.gguf"), 310)
    assert loaded.quantization == {kind: 2 + 7 * 2, "F32": 5}
    for name, parameter in loaded.named_parameters():
        assert parameter.dtype == torch.float32
        assert parameter.requires_grad
        if not name.endswith(("q_proj.weight", "k_proj.weight")):  # whose rows are put back in order
            np.testing.assert_array_equal(parameter.detach().numpy(), seen[name], err_msg=name)
        assert abs(parameter - network.get_parameter(name)).max() < 0.02, name


def test_the_files_own_tokenizer_is_used(tmp_path, network, tokenizer):
    write(tmp_path / "a.gguf", network, tokenizer, "Q8_0")
    tokenizer.save(str(tmp_path / "ref.json"))
    documents = load_documents(given_as(tmp_path / "a.gguf"))
    assert (
        documents.sha256 == load_documents(given_as("embedded", tokenizer=str(tmp_path / "ref.json"))).sha256
    )
    assert documents.origin["tokenizer"] == str(tmp_path / "a.gguf")
    named = load_documents(given_as("embedded", tokenizer=str(tmp_path / "a.gguf")))
    assert named.sha256 == documents.sha256


def test_a_run_says_how_its_weights_were_stored(tmp_path, network, tokenizer, capsys):
    write(tmp_path / "a.gguf", network, tokenizer, "Q4_1")
    run = llm.run(given_as(tmp_path / "a.gguf", lr=0.1), tmp_path / "run")
    assert run.manifest["model"]["quantization"] == {"Q4_1": 16, "F32": 5}
    assert run.losses.values[-1].mean() < run.losses.values[0].mean()
    assert reawaken.main(["llm", "show", str(tmp_path / "run")]) == 0
    assert "stored as 16 Q4_1, 5 F32 tensors, read as float32" in capsys.readouterr().out


def test_random_weights_take_the_shape_alone(tmp_path, network, tokenizer):
    write(tmp_path / "a.gguf", network, tokenizer, "Q8_0")
    config = given_as(tmp_path / "a.gguf", weights="random", depth=3)
    assert read_architecture(config)[0].num_hidden_layers == 3
    model = build_model(config, 310)
    assert not hasattr(model, "quantization")
    assert model.get_input_embeddings().weight.shape == (320, WIDTH)


def test_a_file_cut_anywhere_or_damaged_in_its_header_is_one_line(tmp_path, network, tokenizer):
    write(tmp_path / "a.gguf", network, tokenizer, "Q4_0")
    whole = (tmp_path / "a.gguf").read_bytes()
    rng = np.random.default_rng(0)
    bad = tmp_path / "bad.gguf"
    for size in [0, 3, 4, 12, 24, 100, len(whole) - 33, len(whole) - 1, *rng.integers(1, len(whole), 20)]:
        bad.write_bytes(whole[:size])
        said = refusal(lambda: quantization(bad))
        assert "cannot be read as GGUF" in said
        assert len(said) < 600
    bad.write_bytes(b"GGUX" + whole[4:])
    assert "cannot be read as GGUF" in refusal(lambda: load_documents(given_as(bad)))
    bad.write_bytes(whole[:4] + bytes([9, 0, 0, 0]) + whole[8:])
    assert "cannot be read as GGUF" in refusal(lambda: build_model(given_as(bad), 310))


def test_an_unknown_architecture_is_one_line(tmp_path, network, tokenizer):
    write(tmp_path / "a.gguf", network, tokenizer, architecture="rwkv6")
    for action in (build_model, lambda config, _: load_documents(config)):
        said = refusal(lambda action=action: action(given_as(tmp_path / "a.gguf"), 310))
        assert "rwkv6" in said
        assert "expected a GGUF file of an architecture" in said


def test_a_file_that_lacks_a_tensor_is_one_line(tmp_path, network, tokenizer):
    write(tmp_path / "a.gguf", network, tokenizer)
    key = b"llama.block_count" + (4).to_bytes(4, "little")
    data = (tmp_path / "a.gguf").read_bytes()
    assert data.count(key + (2).to_bytes(4, "little")) == 1
    longer = data.replace(key + (2).to_bytes(4, "little"), key + (3).to_bytes(4, "little"))
    (tmp_path / "a.gguf").write_bytes(longer)
    assert "lack model.layers.2" in refusal(lambda: build_model(given_as(tmp_path / "a.gguf"), 310))


def test_a_size_that_the_library_does_not_read_is_one_line(tmp_path, tokenizer):
    """It takes the heads of a Qwen3 for 128 wide, whatever the file says."""
    write(tmp_path / "a.gguf", make("Qwen3", head_dim=WIDTH // HEADS), tokenizer)
    said = refusal(lambda: build_model(given_as(tmp_path / "a.gguf"), 310))
    # Later versions of it compare shapes, earlier ones fail as they run.
    assert "k_norm.weight has (16,), not (128,)" in said or "does not run" in said


def test_without_its_packages_it_says_which(tmp_path, network, tokenizer, monkeypatch):
    write(tmp_path / "a.gguf", network, tokenizer)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install gguf accelerate" in refusal(lambda: load_documents(given_as(tmp_path / "a.gguf")))
