"""Networks written out and what becomes of their gradients, against autograd on the library's own."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
)

from llm import RunConfig, run
from llm.networks.fast.layers import RMSNorm
from llm.networks.fast.network import Network, Networks, why_not
from llm.networks.fast.updates import Descent, Gradients, Weight
from llm.registry import make_adapter
from llm.steps.optimizers import GradientDescent, WrittenDescent, make_optimizer
from llm.steps.step import EagerStep
from llm.tasks.language import LanguageAdapter

VOCABULARY, LENGTH, RATE = 97, 12, 0.1
SHAPE = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
ROTARY = {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}
LLAMA = LlamaConfig(**SHAPE, num_key_value_heads=2, intermediate_size=48)
GPT2 = GPT2Config(
    vocab_size=VOCABULARY, n_embd=32, n_layer=3, n_head=4, n_positions=16, resid_pdrop=0, embd_pdrop=0,
    attn_pdrop=0, bos_token_id=0, eos_token_id=0,
)  # fmt: skip
MODELS = {
    "neox": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**SHAPE, intermediate_size=64, rope_parameters=ROTARY)),
    "neox, one after the other": lambda: GPTNeoXForCausalLM(
        GPTNeoXConfig(**SHAPE, intermediate_size=64, rope_parameters=ROTARY, use_parallel_residual=False)
    ),
    "llama": lambda: LlamaForCausalLM(LLAMA),
    "llama, tied and biased": lambda: LlamaForCausalLM(
        LlamaConfig(
            **LLAMA.to_dict() | {"tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True}
        )
    ),
    "gpt2": lambda: GPT2LMHeadModel(GPT2),
}
TINY = RunConfig(
    model="embedded", width=32, depth=2, heads=2, feed_forward=64, context=16, num_documents=4, steps=3,
    epochs=2, lr=0.1, seed=5, device="cpu", version=2,
)  # fmt: skip


def doubled(model):
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.dtype == torch.float32:
            tensor.data = tensor.data.double()
    return model.eval()


def steps(model, freeze, number=3, decay=0.0):
    """The model after plain steps, and a copy of it after steps in products."""
    generator = torch.Generator().manual_seed(1)
    freeze(model)
    ours = copy.deepcopy(model)
    network = Network.of(ours, LENGTH, Descent(RATE, decay))
    trained = [p for p in model.parameters() if p.requires_grad]
    for _ in range(number):
        tokens = torch.randint(0, VOCABULARY, (1, LENGTH), generator=generator)
        tokens[0, 3] = tokens[0, 5]  # a row of the embedding that is used twice
        targets = torch.full((LENGTH,), -100)
        targets[:-3] = tokens[0, 1:-2]
        logits = model(input_ids=tokens, use_cache=False).logits[0]
        loss = torch.nn.functional.cross_entropy(logits, targets)  # -100 counts in nothing
        for parameter, gradient in zip(trained, torch.autograd.grad(loss, trained), strict=True):
            parameter.data.mul_(1 - RATE * decay).sub_(gradient, alpha=RATE)
        network.step(tokens, targets, targets != -100)
    return model, ours


def agree(model, ours, before):
    for (name, ref), comp, start in zip(model.named_parameters(), ours.parameters(), before, strict=True):
        if ref.requires_grad:
            assert not torch.equal(ref.data, start), name
            torch.testing.assert_close(comp.data, ref.data, atol=2e-7, rtol=1e-6, msg=name)
        else:
            assert torch.equal(comp.data, start), name


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("name", MODELS)
def test_steps_are_those_of_the_plain_optimizer(name, decay):
    torch.manual_seed(3)
    model = doubled(MODELS[name]())
    assert why_not(TINY, model) is None
    before = [p.detach().clone() for p in model.parameters()]
    agree(*steps(model, lambda model: None, decay=decay), before)


@pytest.mark.parametrize("name", MODELS)
def test_what_is_frozen_stays(name):
    torch.manual_seed(4)
    model = doubled(MODELS[name]())

    def freeze(model):
        layers = getattr(model.base_model, "layers", None) or model.base_model.h
        layers[0].requires_grad_(False)
        layers[2].requires_grad_(False)
        model.get_input_embeddings().requires_grad_(False)
        if hasattr(model.base_model, "wpe"):
            model.base_model.wpe.requires_grad_(False)

    before = [p.detach().clone() for p in model.parameters()]
    agree(*steps(model, freeze), before)


@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_those_of_autograd(name):
    torch.manual_seed(6)
    model = doubled(MODELS[name]())
    layers = getattr(model.base_model, "layers", None) or model.base_model.h
    layers[1].requires_grad_(False)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    tokens, targets = torch.randint(0, VOCABULARY, (1, LENGTH)), torch.full((LENGTH,), -100)
    targets[:-3] = tokens[0, 1:-2]
    network = Network.of(model, LENGTH, Gradients())
    for _ in range(2):  # the second replaces what the first has left
        network.step(tokens, targets, targets != -100)
    comp = {n: p.grad for n, p in model.named_parameters()}
    model.zero_grad()
    logits = model(input_ids=tokens, use_cache=False).logits[0]
    torch.nn.functional.cross_entropy(logits, targets).backward()
    for n, parameter in model.named_parameters():
        assert torch.equal(parameter, before[n])
        if parameter.requires_grad:
            # The library rounds within its RMSNorm to float32.
            torch.testing.assert_close(comp[n], parameter.grad, atol=2e-6, rtol=1e-6, msg=n)
            assert parameter.grad.abs().max() > 0
        else:
            assert comp[n] is None


@pytest.mark.parametrize("name", MODELS)
def test_hidden_states_of_several_documents_are_the_librarys(name):
    torch.manual_seed(7)
    model = doubled(MODELS[name]())
    tokens = torch.randint(0, VOCABULARY, (3, LENGTH))
    networks = Networks(model, Gradients())
    with torch.inference_mode():
        comp = networks.of(LENGTH).hidden(tokens)
        ref = model.base_model(input_ids=tokens, use_cache=False).last_hidden_state
    torch.testing.assert_close(comp, ref, atol=5e-6, rtol=1e-6)
    # Gradients can still be asked for, of weights that were joined meanwhile.
    assert not any(p.is_inference() for p in model.parameters())
    model(input_ids=tokens, use_cache=False).logits.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_attention_by_its_own_gradient_is_that_of_autograd(monkeypatch):
    found = []
    for direct in (True, False):
        torch.manual_seed(9)
        model = MODELS["neox"]()
        if not direct:
            monkeypatch.setattr(torch, "_fused_sdp_choice", lambda *parts, **settings: 0)
        network = Network.of(model, LENGTH, Descent(RATE))
        tokens = torch.arange(LENGTH)[None]
        network.step(tokens, tokens[0], tokens[0] > 2)
        assert network._blocks[0]._attention._views.flash == direct
        found.append([p.detach() for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("trains", [True, False])
def test_a_norm_all_at_once_is_the_one_written_out(trains):
    torch.manual_seed(8)
    module = MODELS["llama"]().model.norm.double()
    module.weight.data.uniform_(0.5, 2)
    module.requires_grad_(trains)
    x, gradient = torch.randn(2, 7, 32, dtype=torch.float64)
    found = []
    for whole in (True, False):
        module.weight.grad = None
        norm = RMSNorm(module, Gradients(), whole)
        rows = [norm.forward(x, keep=False), norm.forward(x), norm.backward(gradient)]
        found.append([*rows, *([module.weight.grad] if trains else [])])
        assert (module.weight.grad is not None) == trains
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=1e-9)
    assert not RMSNorm(module, Gradients()).whole


def test_what_is_joined_is_joined_once():
    model = MODELS["llama"]()
    attention = model.model.layers[0].self_attn
    parts = [attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight]
    values = [part.detach().clone() for part in parts]
    first = Weight(*parts)
    places = [part.data_ptr() for part in parts]
    again = Weight(*parts)
    assert [part.data_ptr() for part in parts] == places
    assert first.value.data_ptr() == again.value.data_ptr() == places[0]
    assert torch.equal(again.value, torch.cat(values))
    again.value.add_(1)
    for part, value in zip(parts, values, strict=True):
        assert torch.equal(part, value + 1)
    other = Weight(parts[1], parts[0])  # another order is another matrix
    assert torch.equal(other.value, torch.cat([values[1], values[0]]) + 1)


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
@pytest.mark.parametrize("model", ["embedded", "gpt2", "llama"])
def test_moments_of_joint_products_are_those_of_autograd(other_checkpoints, model, optimizer):
    changes = {} if model == "embedded" else {"model": str(other_checkpoints[model]), "width": None,
                                              "depth": None, "heads": None, "feed_forward": None}  # fmt: skip
    found = []
    for version in (2, 1):
        config = dataclasses.replace(TINY, optimizer=optimizer, lr=1e-3, version=2, **changes)
        adapter = make_adapter(config, torch.device("cpu"))
        config = dataclasses.replace(config, version=version)
        descent = make_optimizer(config, adapter.model)
        assert ("joint products" in descent.form) == (version == 2), descent.form
        step = EagerStep(adapter, descent)
        rows = []
        for episode in range(6):
            step.reset_optimizer()
            step.train(episode % 4, config.steps, episode)
            rows.append(step.evaluate().numpy())
        assert all(p.grad is None for p in adapter.model.parameters())
        found.append(np.array(rows))
    assert np.ptp(found[0], axis=0).min() > 0.01
    np.testing.assert_allclose(*found, atol=2e-4)


def test_evaluation_of_the_second_version_is_that_of_the_first_to_rounding(other_checkpoints):
    for model in ("embedded", str(other_checkpoints["llama"])):
        config = RunConfig(model=model, context=16, num_documents=4, device="cpu", version=2)
        adapter = make_adapter(config, torch.device("cpu"))
        comp = adapter.losses()
        first = LanguageAdapter(dataclasses.replace(config, version=1), adapter.model, adapter.documents,
                                torch.device("cpu"))  # fmt: skip
        torch.testing.assert_close(comp, first.losses(), atol=1e-5, rtol=1e-6)


@pytest.mark.parametrize("changes", [{}, {"weight_decay": 0.1}, {"mask_probability": 0.3}])
def test_a_run_is_that_of_gradients_to_rounding(tmp_path, changes):
    config = dataclasses.replace(TINY, **changes)
    found = []
    for kind in (WrittenDescent, GradientDescent):
        adapter = make_adapter(config, torch.device("cpu"))
        optimizer = make_optimizer(config, adapter.model)
        assert isinstance(optimizer, WrittenDescent)
        if kind is GradientDescent:
            optimizer = GradientDescent(
                list(adapter.model.parameters()), config.rate, config.weight_decay or 0.0
            )
        step = EagerStep(adapter, optimizer)
        rows = []
        for episode in range(8):
            step.train(episode % 4, config.steps, episode)
            rows.append(step.evaluate().numpy())
        found.append(np.array(rows))
    assert np.ptp(found[0], axis=0).min() > 0.1
    np.testing.assert_allclose(*found, atol=2e-5)
    assert run(config, tmp_path / "run").manifest["steps"] == "descent in the backward products"


@pytest.mark.parametrize("changes", [
    {}, {"weight_decay": 0.1}, {"mask_probability": 0.3, "window_shift": 3}, {"freeze_blocks": 1},
    {"freeze_blocks": -1, "freeze_embeddings": True}, {"optimizer": "adam", "lr": 1e-3},
    {"optimizer": "adamw", "lr": 1e-3, "freeze_blocks": 1}, {"context": 37, "width": 48, "heads": 3},
])  # fmt: skip
def test_written_out_the_first_version_is_autograds_bit_for_bit(changes):
    config = dataclasses.replace(TINY, version=1, **changes)
    found = []
    for written in (True, False):
        adapter = make_adapter(config, torch.device("cpu"))
        optimizer = make_optimizer(config, adapter.model)
        assert optimizer.form.startswith("gradients written out")
        if not written:
            adapter._plain_body = adapter._body
            optimizer = make_optimizer(dataclasses.replace(config, dropout=True), adapter.model)
            assert "dropout" in optimizer.form  # of which this network has none
        step = EagerStep(adapter, optimizer)
        rows = [step.evaluate().numpy()]
        for episode in range(8):
            step.reset_optimizer()
            step.train(episode % 4, config.steps, episode)
            rows.append(step.evaluate().numpy())
        found.append([np.array(rows), *(p.detach().numpy() for p in adapter.model.parameters())])
    assert np.ptp(found[0][0], axis=0).min() > 0.01
    for comp, ref in zip(*found, strict=True):
        np.testing.assert_array_equal(comp, ref)


def test_outside_of_steps_the_network_has_gradients_and_may_move():
    adapter = make_adapter(TINY, torch.device("cpu"))
    optimizer = make_optimizer(TINY, adapter.model)
    adapter.load(0)
    optimizer.update(adapter)
    assert all(p.grad is None for p in adapter.model.parameters())
    adapter.loss().backward()
    assert all(p.grad is not None for p in adapter.model.parameters())
    # Memory that is exchanged between steps is found again.
    before = [p.detach().clone() for p in adapter.model.parameters()]
    for parameter in adapter.model.parameters():
        parameter.data = parameter.data.clone()
    optimizer.update(adapter)
    after = adapter.model.parameters()
    assert not any(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_where_gradients_are_formed_the_reason_is_said():
    model = make_adapter(TINY, torch.device("cpu")).model
    assert why_not(TINY, model) is None
    assert why_not(dataclasses.replace(TINY, version=1), model) is None  # which it equals bit for bit
    for name in ("llama", "gpt2"):
        assert why_not(TINY, MODELS[name]()) is None
        assert why_not(dataclasses.replace(TINY, version=1), MODELS[name]()) == "version 1"
    tied = copy.deepcopy(model)
    tied.get_output_embeddings().weight = tied.get_input_embeddings().weight
    assert why_not(dataclasses.replace(TINY, version=1), tied) == "version 1"
    assert why_not(dataclasses.replace(TINY, precision="bf16"), model) == "bf16"
    assert why_not(dataclasses.replace(TINY, dropout=True), model) == "dropout"
    model.config.hidden_act = "relu"
    assert "relu" in why_not(TINY, model)


def test_joined_weights_can_be_saved_and_loaded(tmp_path):
    from safetensors.torch import load_file, save_file

    torch.manual_seed(5)
    model = MODELS["llama"]()
    network = Network.of(model, LENGTH, Descent(RATE))
    tokens = torch.arange(LENGTH)[None]
    save_file({name: p.detach() for name, p in model.named_parameters()}, tmp_path / "weights.safetensors")
    network.step(tokens, tokens[0], tokens[0] < 9)
    after = [p.detach().clone() for p in model.parameters()]
    with torch.no_grad():
        for name, value in load_file(tmp_path / "weights.safetensors").items():
            model.get_parameter(name).copy_(value)
    network.step(tokens, tokens[0], tokens[0] < 9)
    assert all(torch.equal(a, b) for a, b in zip(after, model.parameters(), strict=True))
