"""Layers by name and by depth."""

import pytest

from llm.probes import (
    attention_layer,
    select_layer,
)
from tests.llm.probes.small import Convolutional, gpt2, neox
from toymodel import InputError


def test_the_papers_layer_by_depth():
    # Block 12 of Pythia-410M's 24, counted from 0.
    assert attention_layer(neox(num_hidden_layers=24)).name == "gpt_neox.layers.12.attention"
    assert attention_layer(neox()).name == "gpt_neox.layers.1.attention"
    assert attention_layer(gpt2()).name == "transformer.h.1.attn"
    assert len(attention_layer(neox()).parameters) == 4
    with pytest.raises(InputError, match="probe_layer='output'"):
        attention_layer(Convolutional())


def test_layer_names():
    model = neox()
    assert select_layer(model, "output").parameters["lm_head.weight"] is model.lm_head.weight
    assert select_layer(model, "all").size == sum(p.numel() for p in model.parameters())
    with pytest.raises(InputError, match=r"Fix: probe_layer='gpt_neox.layers.1.attention'$"):
        select_layer(model, "gpt_neox.layers.1.attn")
    with pytest.raises(InputError, match="probe_layer=''"):
        select_layer(model, "")
