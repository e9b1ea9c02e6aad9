"""Gradients that are never formed, against those that are."""

import numpy as np
import pytest
import torch

from llm.probes import (
    cosines,
    gradient_gram,
    select_layer,
)
from tests import oracles
from tests.llm.probes.small import DOCUMENTS, Convolutional, Texts, gpt2, neox

LAYERS = [
    "gpt_neox.layers.1.attention",
    "gpt_neox.layers.1.attention.dense.bias",
    "gpt_neox.layers.0.mlp.dense_h_to_4h.weight",
    "gpt_neox.embed_in",
    "gpt_neox.final_layer_norm",
    "output",
    "all",
]


def same_as_formed(model, adapter, layer):
    """Inner products of gradients, after a comparison with those of gradients that were formed."""
    ref = oracles.gradient_gram(model, adapter, DOCUMENTS, layer.parameters.values())
    comp = gradient_gram(model, adapter, DOCUMENTS, layer)
    np.testing.assert_allclose(comp, ref, rtol=0, atol=1e-5 * np.abs(ref).max())
    return comp


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_without_gradients(name):
    model = neox()
    comp = same_as_formed(model, Texts(model), select_layer(model, name))
    assert np.linalg.eigvalsh(cosines(comp)).min() > -1e-6
    np.testing.assert_allclose(np.diag(cosines(comp)), 1)


@pytest.mark.parametrize("name", ["output", "transformer.h.1.attn", "transformer.wpe", "all"])
def test_tied_weights_and_transposed_ones(name):
    # GPT-2's output layer is its input embedding: one gradient from two uses, with cross terms.
    model = gpt2()
    same_as_formed(model, Texts(model), select_layer(model, name))


@pytest.mark.parametrize("name", ["all", "output", "classifier.0", "features"])
def test_gradients_of_an_image_network(name):
    model = Convolutional().eval()
    layer = select_layer(model, name)
    ref = oracles.gradient_gram(model, model, DOCUMENTS, layer.parameters.values())
    comp = gradient_gram(model.train(), model, DOCUMENTS, layer)
    np.testing.assert_allclose(comp, ref, rtol=0, atol=1e-5 * np.abs(ref).max())
    assert model.training


def test_a_weight_used_outside_its_module_is_noticed():
    model = neox()
    adapter = Texts(model)
    plain = adapter.loss
    adapter.loss = lambda: plain() + model.lm_head.weight.square().sum()
    same_as_formed(model, adapter, select_layer(model, "output"))


def test_gradients_leave_no_trace():
    model = neox(attention_dropout=0.5).train()
    frozen = model.gpt_neox.embed_in.weight.requires_grad_(False)
    model.lm_head.weight.grad = torch.ones_like(model.lm_head.weight)
    random = torch.get_rng_state()
    first = gradient_gram(model, Texts(model), DOCUMENTS, select_layer(model, "gpt_neox.embed_in"))
    again = gradient_gram(model, Texts(model), DOCUMENTS, select_layer(model, "gpt_neox.embed_in"))
    np.testing.assert_array_equal(first, again)  # dropout is off in a probe
    assert np.diag(first).min() > 0
    assert not frozen.requires_grad
    assert model.lm_head.weight.requires_grad
    assert model.training
    assert [p.grad is None for p in model.parameters()].count(False) == 1
    assert bool((model.lm_head.weight.grad == 1).all())
    assert torch.equal(torch.get_rng_state(), random)
