"""Small classifiers."""

import dataclasses

import torch

from llm import RunConfig

CPU = torch.device("cpu")


TINY = RunConfig(
    task="classification", model="embedded-vit", width=16, depth=2, heads=2, feed_forward=32, image_size=16,
    num_documents=3, batch=4, steps=2, epochs=2, optimizer="adam", lr=1e-3, seed=1, device="cpu",
)  # fmt: skip


NO_SHAPE = {"width": None, "depth": None, "heads": None, "feed_forward": None, "image_size": None}


VGG = dataclasses.replace(TINY, model="embedded-vgg", **NO_SHAPE)


def inputs(adapter):
    """Images and labels of every task, from the buffers."""
    found = []
    for task in range(adapter.tasks):
        adapter.load(task)
        found.append((adapter.inputs.clone(), adapter.targets.clone()))
    return [x for x, _ in found], [y for _, y in found]
