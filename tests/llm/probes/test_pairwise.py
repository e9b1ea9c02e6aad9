"""Recovery of one document from training on another, and everything put back."""

import numpy as np
import pytest
import torch

from llm.probes import (
    pairwise_recovery,
)
from tests import oracles
from tests.llm.probes.small import DOCUMENTS, Descent, Texts, neox


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
