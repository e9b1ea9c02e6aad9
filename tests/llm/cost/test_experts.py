"""Mixtures of experts: each token uses some of the weights, and costs what those do."""

import dataclasses

import pytest
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

import reawaken
from llm import RunConfig
from llm.cost.size import _forward, _language_step, measure_size
from llm.cost.work import count_work
from llm.networks.models import build_model
from toymodel import InputError

CONTEXT, WIDTH, INNER, LAYERS = 24, 32, 16, 2


def mixture(folder, experts=4, used=2):
    config = Qwen3MoeConfig(
        vocab_size=300, hidden_size=WIDTH, intermediate_size=64, num_hidden_layers=LAYERS,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8, moe_intermediate_size=INNER,
        num_experts=experts, num_experts_per_tok=used, max_position_embeddings=64,
    )  # fmt: skip
    Qwen3MoeForCausalLM(config).save_pretrained(folder)
    return RunConfig(model=str(folder), context=CONTEXT, num_documents=3)


def test_a_token_costs_the_experts_it_uses(tmp_path):
    one, two, more = (
        measure_size(mixture(tmp_path / name, **change))
        for name, change in (("one", {"used": 1}), ("two", {}), ("more", {"experts": 8}))
    )
    expert = 3 * INNER * WIDTH
    assert two.operations - one.operations == LAYERS * 2 * CONTEXT * expert
    assert more.parameters - two.parameters == LAYERS * 4 * (expert + WIDTH)
    # Further experts cost the choice among them, and no more activations than that.
    assert more.operations - two.operations == LAYERS * 2 * CONTEXT * 4 * WIDTH
    assert more.activations - two.activations < 4 * LAYERS * CONTEXT * 4 * 8


def test_what_is_measured_without_numbers_is_what_a_step_does(tmp_path):
    config = mixture(tmp_path)
    model = build_model(config, 1)
    model.set_experts_implementation("eager")  # a plain loop over the experts
    plain, comp = _forward(model, _language_step(model, config)), measure_size(config)
    assert comp.operations == plain.operations
    assert comp.activations == pytest.approx(plain.kept, rel=0.15)
    work = count_work(config, comp.parameters, comp.operations)
    assert work.step_operations == 3 * plain.operations


def test_the_estimate_of_a_mixture_of_experts(tmp_path, capsys):
    config = mixture(tmp_path / "m")
    argv = ["llm", "run", "--model", config.model, "--context", str(CONTEXT), "--dry-run", "--device", "cpu"]
    assert reawaken.main(argv) == 0
    said = capsys.readouterr().out
    assert f"{measure_size(config).parameters:,} parameters" in said
    assert "time    about" in said


def test_a_network_that_depends_on_numbers_is_refused_in_one_line(tmp_path, monkeypatch):
    config = mixture(tmp_path)

    def by_value(self, hidden_states, *args):
        if hidden_states.sum() > 0:
            return hidden_states
        return -hidden_states

    monkeypatch.setattr("transformers.models.qwen3_moe.modeling_qwen3_moe.Qwen3MoeExperts.forward", by_value)
    with pytest.raises(InputError, match=r"cannot be followed without numbers .*; expected ") as caught:
        measure_size(dataclasses.replace(config))
    assert "\n" not in str(caught.value)
