"""Llama and GPT-2 without the library's wrapping: the same numbers."""

import pytest
import torch

from llm import RunConfig
from llm.networks.models import _ATTENTION, _register_attention, forward_form, split_head
from tests.llm.networks.test_network import GPT2, LLAMA, MODELS, VOCABULARY


@pytest.fixture(params=["llama", "llama, tied and biased", "gpt2"])
def model(request):
    _register_attention()
    for config in (LLAMA, GPT2):
        config._attn_implementation = _ATTENTION
    torch.manual_seed(1)
    model = MODELS[request.param]()
    model.config.use_cache = False
    model.set_attn_implementation(_ATTENTION)
    return model.eval()


@pytest.mark.parametrize("batch", [1, 3])
def test_logits_and_gradients_are_the_librarys_bit_for_bit(model, batch):
    generator = torch.Generator().manual_seed(2)
    body, head = split_head(model)
    assert "unwrapped" in forward_form(model, RunConfig())
    for length in (12, 7, 12):
        tokens = torch.randint(0, VOCABULARY, (batch, length), generator=generator)
        ref = model(input_ids=tokens, use_cache=False).logits
        comp = head(body(tokens))
        assert torch.equal(comp, ref)
        weights = list(model.parameters())
        for a, b in zip(*(torch.autograd.grad(o.square().mean(), weights) for o in (comp, ref)), strict=True):
            assert torch.equal(a, b)
        with torch.inference_mode():
            assert torch.equal(head(body(tokens)), ref)


def test_hooks_of_modules_are_called(model):
    seen = []
    layers = getattr(model.base_model, "layers", None) or model.base_model.h
    handle = layers[1].register_forward_hook(lambda *_: seen.append(1))
    body, _ = split_head(model)
    body(torch.zeros((1, 5), dtype=torch.int64))
    handle.remove()
    assert seen == [1]
