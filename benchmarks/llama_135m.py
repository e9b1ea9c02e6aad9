"""A Llama without download: SmolLM2-135M's shape, and a tokenizer trained on the Python manual."""

from __future__ import annotations

from pathlib import Path

__all__ = ["write_folder"]


def write_folder(path: Path) -> Path:
    """Write ``config.json`` and ``tokenizer.json``; random weights need no more."""
    from pydoc_data.topics import topics

    from transformers import LlamaConfig

    from llm.data.corpus import train_tokenizer

    LlamaConfig(
        vocab_size=49152, hidden_size=576, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3,
        intermediate_size=1536, max_position_embeddings=8192, rms_norm_eps=1e-5, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 100000.0},
    ).save_pretrained(path)  # fmt: skip
    train_tokenizer(list(topics.values())).save(str(path / "tokenizer.json"))
    return path
