"""Random weights from a stream per parameter."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from llm.config import RunConfig
from llm.networks import drawing
from llm.networks.models import build_model
from llm.networks.weights import weight_hash

TINY = RunConfig(width=64, depth=3, heads=4, feed_forward=128, seed=7, version=2)


def test_weights_are_of_their_scheme():
    model = build_model(TINY, 1)
    for name, parameter in model.named_parameters():
        values = parameter.detach()
        if parameter.ndim < 2:
            assert torch.equal(values, torch.full_like(values, float(name.endswith("weight")))), name
            continue
        writes = name.endswith(("attention.dense.weight", "dense_4h_to_h.weight"))
        wanted = 2 / (3 * math.sqrt(64)) if writes else math.sqrt(2 / (5 * 64))
        sampling = wanted / math.sqrt(2 * values.numel())
        assert abs(float(values.std()) - wanted) < 5 * sampling, name
        assert abs(float(values.mean())) < 5 * wanted / math.sqrt(values.numel()), name
    first, second = (model.base_model.layers[k].attention.dense.weight.detach() for k in (0, 1))
    assert abs(float(torch.corrcoef(torch.stack([first.ravel(), second.ravel()]))[0, 1])) < 0.1


def test_seed_and_name_alone_decide(monkeypatch):
    ref = build_model(TINY, 1)
    torch.manual_seed(99)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0}, raising=False)
    assert weight_hash(build_model(TINY, 1), 2) == weight_hash(ref, 2)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(5)), raising=False)
    assert weight_hash(build_model(TINY, 1), 2) == weight_hash(ref, 2)
    deeper = build_model(dataclasses.replace(TINY, depth=4), 1).state_dict()
    name = "gpt_neox.layers.1.mlp.dense_h_to_4h.weight"  # its scale is the same at every depth
    assert torch.equal(deeper[name], ref.state_dict()[name])
    other = build_model(dataclasses.replace(TINY, seed=8), 1).state_dict()
    assert not torch.equal(other[name], ref.state_dict()[name])


def test_blocks_are_streams_of_their_own(monkeypatch):
    monkeypatch.setattr(drawing, "_BLOCK", 100)
    values = build_model(TINY, 1).get_input_embeddings().weight.detach().numpy().ravel()
    blocks = values[:60_000].reshape(-1, 100)
    assert len(np.unique(blocks[:, 0])) == len(blocks)
    neighbours = np.corrcoef(blocks[:-1].ravel(), blocks[1:].ravel())[0, 1]
    assert abs(neighbours) < 5 / math.sqrt(60_000)


def test_version_1_is_drawn_as_it_was():
    """One generator, the library's drawing first: what recorded runs began with."""
    from transformers import AutoModelForCausalLM

    config = dataclasses.replace(TINY, version=1)
    comp = build_model(config, 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        ref = AutoModelForCausalLM.from_config(type(comp.config).from_dict(
            {k: v for k, v in comp.config.to_dict().items() if k != "_attn_implementation"}))  # fmt: skip
        for name, parameter in ref.named_parameters():
            if parameter.ndim == 2:
                writes = name.endswith(("attention.dense.weight", "dense_4h_to_h.weight"))
                wanted = 2 / (3 * math.sqrt(64)) if writes else math.sqrt(2 / (5 * 64))
                torch.nn.init.normal_(parameter, 0.0, wanted)
    for (name, value), parameter in zip(ref.named_parameters(), comp.parameters(), strict=True):
        if value.ndim == 2:
            assert torch.equal(value, parameter), name
    later = build_model(TINY, 1)
    assert not torch.equal(comp.get_input_embeddings().weight, later.get_input_embeddings().weight)


@pytest.mark.parametrize("version", [1, 2])
def test_the_hash_sees_every_weight(version, monkeypatch):
    monkeypatch.setattr("llm.networks.weights._PIECE", 1000)
    model = build_model(TINY, 1)
    before = weight_hash(model, version)
    assert weight_hash(model, version) == before
    with torch.no_grad():
        next(reversed(list(model.parameters())))[-1, -1] += 1e-3
    assert weight_hash(model, version) != before


def test_where_weights_come_from_is_said(other_checkpoints):
    def form(**changes):
        config = dataclasses.replace(RunConfig(context=16), **changes)
        return drawing.drawing_form(build_model(config, 1), config)

    assert form() == "torch's generator, one parameter after another"
    assert form(version=2) == "a stream of random numbers to each parameter"
    mistral = {"model": str(other_checkpoints["mistral"]), "version": 2}
    assert form(**mistral).endswith("(version 2 has no other way for mistral)")
    assert form(**mistral, init="normal") == "a stream of random numbers to each parameter"
    assert form(**mistral, weights="pretrained") == "read from a checkpoint"
