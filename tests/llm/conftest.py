"""Checkpoints, tokenizers and datasets in the public formats, made at test time."""

import json

import pytest

from tests.llm.given import texts


@pytest.fixture(scope="session")
def jsonl(tmp_path_factory):
    """Eight articles with summaries, the third shorter than the others."""
    file = tmp_path_factory.mktemp("documents") / "news.jsonl"
    with file.open("w") as out:
        for i, text in enumerate(texts(8)):
            article = text[:60] if i == 2 else text
            out.write(json.dumps({"id": f"story {i}", "article": article, "highlights": text[-50:]}) + "\n")
    return file


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """A GPT-NeoX checkpoint in half precision, as Pythia's public ones are, with its tokenizer."""
    import torch
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    from llm.data.corpus import train_tokenizer

    folder = tmp_path_factory.mktemp("models") / "neox"
    torch.manual_seed(11)
    config = GPTNeoXConfig(
        vocab_size=1056, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=64, hidden_act="gelu",
    )  # fmt: skip
    GPTNeoXForCausalLM(config).half().save_pretrained(folder)
    train_tokenizer(texts(40)).save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="session")
def other_checkpoints(tmp_path_factory):
    """Other causal models with a tokenizer: tied embeddings, grouped queries, sliding windows."""
    import torch
    from transformers import (
        GPT2Config,
        GPT2LMHeadModel,
        LlamaConfig,
        LlamaForCausalLM,
        MistralConfig,
        MistralForCausalLM,
    )

    from llm.data.corpus import train_tokenizer

    small = {"vocab_size": 1056, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
             "intermediate_size": 64, "num_key_value_heads": 2, "max_position_embeddings": 64}  # fmt: skip
    torch.manual_seed(12)
    models = {
        "gpt2": GPT2LMHeadModel(GPT2Config(vocab_size=1056, n_embd=32, n_layer=2, n_head=4, n_positions=64)),
        "llama": LlamaForCausalLM(LlamaConfig(**small)),
        "mistral": MistralForCausalLM(MistralConfig(**small, sliding_window=6)),
    }
    root = tmp_path_factory.mktemp("others")
    tokenizer = train_tokenizer(texts(40))
    for name, model in models.items():
        model.save_pretrained(root / name)
        tokenizer.save(str(root / name / "tokenizer.json"))
    return {name: root / name for name in models}
