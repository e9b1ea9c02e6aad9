"""Probes as functions of a network and its documents, against obvious versions of the same."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from llm.probes import (
    Trajectory,
    attention_layer,
    cosines,
    gradient_gram,
    last_activations,
    pairwise_recovery,
    principal_components,
    select_layer,
    window_residuals,
)
from tests import oracles
from toymodel import InputError

DOCUMENTS, CONTEXT, VOCABULARY = 5, 12, 60


def neox(seed=0, **settings):
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    shape = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24}
    config = GPTNeoXConfig(
        vocab_size=VOCABULARY, max_position_embeddings=32, use_cache=False, **shape | settings
    )
    torch.manual_seed(seed)
    return GPTNeoXForCausalLM(config).eval()


def gpt2(seed=0):
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(seed)
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=VOCABULARY, n_positions=32, n_embd=16, n_layer=2, n_head=2, use_cache=False)
    ).eval()


@dataclasses.dataclass
class Texts:
    """Documents of random tokens; the last is padded to half."""

    model: torch.nn.Module

    def __post_init__(self):
        rng = np.random.default_rng(3)
        self.tokens = torch.from_numpy(rng.integers(0, VOCABULARY, (DOCUMENTS, CONTEXT)))
        self.labels = self.tokens.clone()
        self.labels[-1, CONTEXT // 2 :] = -100
        self.task = 0

    def load(self, task):
        self.task = task

    def loss(self):
        logits = self.model(input_ids=self.tokens[self.task : self.task + 1]).logits[0, :-1]
        return torch.nn.functional.cross_entropy(logits, self.labels[self.task, 1:])

    def losses(self):
        found = []
        with torch.no_grad():
            for task in range(DOCUMENTS):
                self.load(task)
                found.append(self.loss())
        return torch.stack(found)


class Descent:
    """A step of plain gradient descent or Adam, the way the loop's steps look."""

    def __init__(self, adapter, kind="sgd", rate=0.1):
        self.adapter, self.optimizer = adapter, self
        parameters = [p for p in adapter.model.parameters() if p.requires_grad]
        self.inner = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[kind](parameters, lr=rate)

    def train(self, task, steps, episode=0):
        for _ in range(steps):
            self.adapter.load(task)
            self.inner.zero_grad()
            self.adapter.loss().backward()
            self.inner.step()

    def evaluate(self):
        return self.adapter.losses()

    def reset_optimizer(self):
        for values in self.inner.state.values():
            for tensor in values.values():
                tensor.zero_()

    def state(self):
        stored = self.inner.state_dict()["state"]
        return {f"{i}.{k}": v for i, values in stored.items() for k, v in values.items() if v is not None}


class Convolutional(torch.nn.Module):
    """Images, convolutions and in-place activations, as in VGG: no token ids, no embedding."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.features = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.ReLU(inplace=True))
        self.classifier = torch.nn.Sequential(
            torch.nn.Linear(48, 10), torch.nn.ReLU(inplace=True), torch.nn.Dropout(), torch.nn.Linear(10, 4)
        )
        self.images = torch.randn(DOCUMENTS, 7, 1, 6, 6)

    def load(self, task):
        self.batch = self.images[task]

    def loss(self):
        out = self.classifier(self.features(self.batch).flatten(1))
        return torch.nn.functional.cross_entropy(out, torch.arange(7) % 4)


LAYERS = [
    "gpt_neox.layers.1.attention",
    "gpt_neox.layers.1.attention.dense.bias",
    "gpt_neox.layers.0.mlp.dense_h_to_4h.weight",
    "gpt_neox.embed_in",
    "gpt_neox.final_layer_norm",
    "output",
    "all",
]


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_without_gradients(name):
    model = neox()
    adapter, layer = Texts(model), select_layer(model, name)
    ref = oracles.gradient_gram(model, adapter, DOCUMENTS, layer.parameters.values())
    comp = gradient_gram(model, adapter, DOCUMENTS, layer)
    np.testing.assert_allclose(comp, ref, rtol=0, atol=1e-5 * np.abs(ref).max())
    assert np.linalg.eigvalsh(cosines(comp)).min() > -1e-6
    np.testing.assert_allclose(np.diag(cosines(comp)), 1)


@pytest.mark.parametrize("name", ["output", "transformer.h.1.attn", "transformer.wpe", "all"])
def test_tied_weights_and_transposed_ones(name):
    # GPT-2's output layer is its input embedding: one gradient from two uses, with cross terms.
    model = gpt2()
    adapter, layer = Texts(model), select_layer(model, name)
    ref = oracles.gradient_gram(model, adapter, DOCUMENTS, layer.parameters.values())
    comp = gradient_gram(model, adapter, DOCUMENTS, layer)
    np.testing.assert_allclose(comp, ref, rtol=0, atol=1e-5 * np.abs(ref).max())


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
    layer = select_layer(model, "output")
    ref = oracles.gradient_gram(model, adapter, DOCUMENTS, layer.parameters.values())
    comp = gradient_gram(model, adapter, DOCUMENTS, layer)
    np.testing.assert_allclose(comp, ref, rtol=0, atol=1e-5 * np.abs(ref).max())


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


def test_the_papers_layer_by_depth():
    # Block 12 of Pythia-410M's 24, counted from 0.
    assert attention_layer(neox(num_hidden_layers=24)).name == "gpt_neox.layers.12.attention"
    assert attention_layer(neox()).name == "gpt_neox.layers.1.attention"
    assert attention_layer(gpt2()).name == "transformer.h.1.attn"
    assert len(attention_layer(neox()).parameters) == 4
    with pytest.raises(InputError, match="--probe-layer output"):
        attention_layer(Convolutional())


def test_layer_names():
    model = neox()
    assert select_layer(model, "output").parameters["lm_head.weight"] is model.lm_head.weight
    assert select_layer(model, "all").size == sum(p.numel() for p in model.parameters())
    with pytest.raises(InputError, match=r"Fix: --probe-layer gpt_neox.layers.1.attention$"):
        select_layer(model, "gpt_neox.layers.1.attn")
    with pytest.raises(InputError, match="--probe-layer "):
        select_layer(model, "")


def test_pairwise_recovery_by_hand():
    ref = oracles.pairwise_recovery(neox, Texts, rate=0.1, tasks=DOCUMENTS, steps=3)
    model = neox()
    comp = pairwise_recovery(model, Descent(Texts(model)), DOCUMENTS, 3)["recovery"]
    np.testing.assert_allclose(comp, ref, atol=1e-5)
    assert np.diag(comp).min() > 0  # training on a document lowers its own loss


@pytest.mark.parametrize("kind", ["sgd", "adam"])
@pytest.mark.parametrize("reset", [True, False])
def test_pairwise_restores_bitwise_and_in_place(kind, reset):
    model = neox()
    step = Descent(Texts(model), kind, 0.01)
    step.train(0, 2)
    state = [t for values in step.inner.state.values() for t in values.values()]
    tensors = [*model.parameters(), *model.buffers(), *[t for t in state if isinstance(t, torch.Tensor)]]
    before = [(t.data_ptr(), t.detach().clone()) for t in tensors]
    random = torch.get_rng_state()
    found = pairwise_recovery(model, step, DOCUMENTS, 2, reset=reset)
    assert np.abs(found["recovery"]).max() > 0
    for tensor, (address, value) in zip(tensors, before, strict=True):
        assert tensor.data_ptr() == address
        assert torch.equal(tensor, value)
    assert torch.equal(torch.get_rng_state(), random)
    np.testing.assert_array_equal(found["before"], step.evaluate().numpy())
    again = pairwise_recovery(model, step, DOCUMENTS, 2, reset=reset)
    np.testing.assert_array_equal(again["after"], found["after"])


def test_pairwise_restores_after_an_error():
    model = neox()
    step = Descent(Texts(model))
    before = [p.detach().clone() for p in model.parameters()]

    def train(task, steps, episode):
        model.lm_head.weight.data.add_(1)
        raise KeyboardInterrupt

    step.train = train
    with pytest.raises(KeyboardInterrupt):
        pairwise_recovery(model, step, DOCUMENTS, 1)
    assert all(torch.equal(p, b) for p, b in zip(model.parameters(), before, strict=True))


def test_last_activations_are_what_the_output_layer_sees():
    model = neox()
    adapter = Texts(model)
    adapter.counted = lambda: adapter.labels[adapter.task, 1:] >= 0
    # The stand-in gives all positions to the output layer, the last one too.
    adapter.loss = lambda: model.lm_head(model.gpt_neox(adapter.tokens[adapter.task :][:1])[0][0, :-1]).sum()
    for task, length in ((0, CONTEXT), (DOCUMENTS - 1, CONTEXT // 2)):
        ref = model.gpt_neox(adapter.tokens[task : task + 1])[0][0, : length - 1]
        comp = last_activations(model, adapter, task)
        torch.testing.assert_close(comp, ref.detach())


@given(
    arrays(np.float32, st.tuples(st.integers(2, 9), st.integers(1, 40)), elements=st.floats(-8, 8, width=32)),
    st.integers(1, 400),
)
def test_gram_of_files_by_slices(tmp_path_factory, weights, budget):
    files = Trajectory(tmp_path_factory.mktemp("states"), weights.shape[1])
    for state, row in enumerate(weights):
        half = len(row) // 2
        files.write(state, [torch.from_numpy(row[:half].copy()), torch.from_numpy(row[half:].copy())])
    n, exact = len(weights), weights.astype(float)
    np.testing.assert_allclose(files.gram(range(n), budget=budget), exact @ exact.T, atol=1e-9)
    shifted = exact - exact[0]
    np.testing.assert_allclose(
        files.gram(range(n), origin=0, budget=budget), shifted @ shifted.T, rtol=1e-12, atol=1e-9
    )


@given(
    arrays(np.float64, st.tuples(st.integers(2, 14), st.integers(1, 5)), elements=st.floats(-8, 8)),
    st.integers(1, 20),
)
def test_window_residuals_from_gram(weights, window):
    ref = oracles.window_residuals(weights, window)
    shifted = weights - weights[0]
    comp = window_residuals(shifted @ shifted.T, window)
    np.testing.assert_allclose(comp, ref @ ref.T, atol=1e-9)


@given(
    arrays(np.float64, st.tuples(st.integers(4, 12), st.integers(3, 8)), elements=st.floats(-8, 8)),
)
def test_principal_components_from_gram(weights):
    centred = weights - weights.mean(0)
    values = np.linalg.svd(centred, compute_uv=False)
    coordinates, explained = principal_components(weights @ weights.T)
    # The components reproduce as much of the distances as the best three can.
    np.testing.assert_allclose((coordinates**2).sum(0), values[:3] ** 2, atol=1e-7)
    np.testing.assert_allclose(explained.sum() * (values**2).sum(), (values[:3] ** 2).sum(), atol=1e-7)
    if values[0] > 1e-3 and len(values) <= 3:
        np.testing.assert_allclose(coordinates @ coordinates.T, centred @ centred.T, atol=1e-7)


def test_small_differences_of_large_weights(tmp_path):
    # What residuals are made of: weights of size 1 that move by 1e-6 (here along known directions).
    rng = np.random.default_rng(0)
    base, move = rng.normal(size=4000), rng.normal(size=(6, 4000)) * 1e-6
    weights = (base + move).astype(np.float32)
    exact = weights.astype(float) - weights[0].astype(float)
    files = Trajectory(tmp_path, 4000)
    for state, row in enumerate(weights):
        files.write(state, [torch.from_numpy(row)])
    comp = files.gram(range(6), origin=0)[1:, 1:]
    np.testing.assert_allclose(comp, (exact @ exact.T)[1:, 1:], rtol=1e-10)


def test_a_disk_that_is_too_small(tmp_path, monkeypatch):
    files = Trajectory(tmp_path / "run" / "states", 1000)
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 8031})())
    with pytest.raises(InputError, match="GB free"):
        files.check_disk(2)
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 8032})())
    files.check_disk(2)
    files.write(0, [torch.zeros(1000)])
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 4016})())
    files.check_disk(2)  # what is there need not be written again


def test_a_damaged_trajectory(tmp_path):
    files = Trajectory(tmp_path, 10)
    files.write(0, [torch.zeros(10)])
    files.sync()
    files.check(1)
    with pytest.raises(InputError, match="state 1 .* missing or damaged"):
        files.check(2)
    (tmp_path / "000000.f32").write_bytes(b"\0" * 12)
    with pytest.raises(InputError, match="state 0 .* missing or damaged"):
        files.check(1)
    with pytest.raises(InputError, match="ends early"):
        files.gram([0])
