"""Updates bit for bit, state in place, and no more memory than they must."""

import gc

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from llm import RunConfig
from llm.registry import make_adapter
from llm.steps.optimizers import make_optimizer
from llm.steps.step import EagerStep

CONFIG = RunConfig(
    model="embedded", width=64, depth=3, heads=4, feed_forward=256, context=24, num_documents=3, lr=0.05,
    device="cpu",
)  # fmt: skip


def stepper(**changes):
    import dataclasses

    config = dataclasses.replace(CONFIG, **changes)
    adapter = make_adapter(config, torch.device("cpu"))
    return EagerStep(adapter, make_optimizer(config, adapter.model))


def weights(step):
    return [p.detach().clone() for p in step.adapter.model.parameters()]


def test_descent_that_frees_gradients_is_torchs_bit_for_bit():
    comp, ref = stepper(), make_adapter(CONFIG, torch.device("cpu"))
    optimizer = torch.optim.SGD(ref.model.parameters(), lr=0.05)
    comp.train(1, 4)
    for _ in range(4):
        ref.load(1)
        optimizer.zero_grad()
        ref.loss().backward()
        optimizer.step()
    for a, b in zip(comp.adapter.model.parameters(), ref.model.parameters(), strict=True):
        assert torch.equal(a, b)
        assert a.grad is None


@pytest.mark.parametrize(
    ("name", "make"),
    [("sgd", lambda p: torch.optim.SGD(p, lr=0.05, weight_decay=2.0)),
     ("adamw", lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=2.0, fused=True))],
)  # fmt: skip
def test_weight_decay_is_torchs(name, make):
    comp = stepper(optimizer=name, weight_decay=2.0)
    ref = make_adapter(CONFIG, torch.device("cpu"))
    optimizer = make(ref.model.parameters())
    before = weights(comp)
    comp.train(1, 3)
    for _ in range(3):
        ref.load(1)
        optimizer.zero_grad()
        ref.loss().backward()
        optimizer.step()
    for a, b, old in zip(comp.adapter.model.parameters(), ref.model.parameters(), before, strict=True):
        torch.testing.assert_close(a, b, rtol=2e-5, atol=2e-6)
        assert not torch.equal(a, old)


def test_no_decay_is_no_decay():
    plain, none = stepper(), stepper(weight_decay=0.0)
    for step in (plain, none):
        step.train(0, 2)
    assert all(torch.equal(a, b) for a, b in zip(weights(plain), weights(none), strict=True))


def test_gradients_outside_an_update_are_kept_and_change_nothing():
    step = stepper()
    before = weights(step)
    step.adapter.load(0)
    step.adapter.loss().backward()
    for a, p in zip(before, step.adapter.model.parameters(), strict=True):
        assert torch.equal(a, p)
        assert p.grad is not None


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_a_reset_optimizer_is_a_new_one_at_the_same_addresses(name):
    used, new = (stepper(optimizer=name, lr=1e-3) for _ in range(2))
    used.train(0, 3)
    state = {key: tensor.data_ptr() for key, tensor in used.optimizer.state().items()}
    addresses = [p.data_ptr() for p in used.adapter.model.parameters()]
    with torch.no_grad():
        for a, b in zip(new.adapter.model.parameters(), used.adapter.model.parameters(), strict=True):
            a.copy_(b)
    used.reset_optimizer()
    used.train(2, 3)
    new.train(2, 3)
    for a, b in zip(weights(used), weights(new), strict=True):
        assert torch.equal(a, b)
    assert state == {key: tensor.data_ptr() for key, tensor in used.optimizer.state().items()}
    assert addresses == [p.data_ptr() for p in used.adapter.model.parameters()]


def test_state_that_travels_goes_on_bit_for_bit():
    whole, resumed = (stepper(optimizer="adam", lr=1e-3) for _ in range(2))
    whole.train(0, 3)
    with torch.no_grad():
        for a, b in zip(resumed.adapter.model.parameters(), whole.adapter.model.parameters(), strict=True):
            a.copy_(b)
    resumed.optimizer.load_state({k: v.clone() for k, v in whole.optimizer.state().items()})
    whole.train(1, 2)
    resumed.train(1, 2)
    for a, b in zip(weights(whole), weights(resumed), strict=True):
        assert torch.equal(a, b)


def peak(work):
    """Most bytes alive at once that the work allocated."""
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        work()
    alive = most = 0
    for event in recorded.profiler.kineto_results.events():
        if event.name() == "[memory]":
            alive += event.nbytes()
            most = max(most, alive)
    return most


def test_a_step_of_plain_descent_needs_little_beyond_weights_gradients_and_activations():
    step = stepper(width=256, depth=4, heads=4, feed_forward=1024, model="pythia-14m", context=64)
    model = step.adapter.model
    step.train(0, 1)
    saved = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
        loss = step.adapter.loss()
    activations = sum(size for address, size in saved.items() if address not in own)
    logits = 64 * 50304 * 4  # kept by the loss itself, which turns them into their gradient
    del loss
    size = sum(p.numel() * 4 for p in model.parameters())
    used = peak(lambda: step.train(0, 2))
    assert used > 0
    assert size + used <= 1.15 * (2 * size + activations + logits)
    # Gradients are never all alive: the largest of them is, beside what its layer works on.
    largest = max(p.numel() * 4 for p in model.parameters())
    assert used <= 1.15 * (largest + activations + 2 * logits)


def test_evaluation_holds_one_batch_of_logits_at_a_time():
    step = stepper(model="pythia-14m", depth=1, num_documents=12, context=256)
    used = peak(step.evaluate)
    whole = 12 * 256 * 50304 * 4
    assert 0 < used < 2.5 * (64 << 20) < whole / 3
