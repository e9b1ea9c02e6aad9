"""Speed of classification, as ratios to plain loops timed in turn in the same run, on the same numbers.

The plain loop evaluates one image at a time and trains with torch's optimizer as it comes; the other plain
loop evaluates one batch of the experiment at a time. Each side counts by its least time: other programs on
the machine can only add to a time.
"""

import time

import numpy as np
import pytest
import torch

from llm import preset
from llm.steps.optimizers import make_optimizer
from llm.steps.step import EagerStep
from llm.vision.classification import classification_adapter


def plain_evaluation(model, images, labels, at_once):
    """Mean loss of every batch, `at_once` images at a time."""
    model.eval()
    rows = []
    with torch.no_grad():
        for x, y in zip(images, labels, strict=True):
            pieces = zip(x.split(at_once), y.split(at_once), strict=True)
            losses = [
                torch.nn.functional.cross_entropy(model(some), of, reduction="sum") for some, of in pieces
            ]
            rows.append(sum(float(loss) for loss in losses) / len(x))
    return np.array(rows)


def plain_episode(model, images, labels, task, config, at_once):
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr)
    model.train()
    for _ in range(config.steps):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images[task]), labels[task]).backward()
        optimizer.step()
    return plain_evaluation(model, images, labels, at_once)


@pytest.mark.parametrize("part", ["evaluation", "episode"])
def test_small_vit_against_the_plain_loops(benchmark, part):
    config = preset("fig7b-vit-embedded")
    sides = {}
    for name in ("comp", "one image at a time", "one batch at a time"):
        adapter = classification_adapter(config, torch.device("cpu"))
        step = EagerStep(adapter, make_optimizer(config, adapter.model))
        at_once = {"one image at a time": 1, "one batch at a time": config.batch}.get(name)
        sides[name] = adapter, step, at_once

    def work(name):
        adapter, step, at_once = sides[name]
        images, labels = adapter.images, adapter.labels
        if part == "evaluation":
            if at_once is None:
                return step.evaluate().numpy()
            return plain_evaluation(adapter.model, images, labels, at_once)
        if at_once is None:
            step.reset_optimizer()
            step.train(0, config.steps, 0)
            return step.evaluate().numpy()
        return plain_episode(adapter.model, images, labels, 0, config, at_once)

    times = {name: [] for name in sides}
    rows = {name: [] for name in sides}

    def all_sides():
        for name, found in times.items():
            start = time.perf_counter()
            rows[name].append(work(name))
            found.append(time.perf_counter() - start)

    benchmark.pedantic(all_sides, rounds=8, iterations=1, warmup_rounds=1)
    for name in list(sides)[1:]:
        np.testing.assert_allclose(rows["comp"][1], rows[name][1], atol=1e-4)
    least = {name: min(found) for name, found in times.items()}
    ratios = {name: least[name] / least["comp"] for name in list(sides)[1:]}
    benchmark.extra_info.update({"seconds": least, "ratios": ratios})
    print(f"\n{part} of {config.model}: {benchmark.extra_info}")
    assert ratios["one image at a time"] >= 1.5
