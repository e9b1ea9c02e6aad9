"""Activations are those that the output layer sees."""

import torch

from llm.probes import (
    last_activations,
)
from tests.llm.probes.small import CONTEXT, DOCUMENTS, Texts, neox


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
