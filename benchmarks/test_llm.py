"""Speed of the network side, as ratios to a plain loop timed in the same run.

The plain loop is what one would write first with the library's defaults: batch 1, one document at a time in
evaluation, the library's loss and optimizer. Each side runs in processes of its own, in turn, and counts by
its least time: other programs on the machine can only add to a time. The numbers are compared as well.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
CHILD = """
import json, sys, time
import numpy as np
from llm.config import RunConfig

side, values, episodes = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
config = RunConfig.from_json(values)
if side == "comp":
    from llm.cost.memory import large_pages
    large_pages()
import torch
from llm.registry import make_adapter
from llm.data.documents import load_documents
from llm.networks.models import build_model
from llm.steps.optimizers import make_optimizer
from llm.steps.step import EagerStep

if side == "comp":
    adapter = make_adapter(config, torch.device("cpu"))
    step = EagerStep(adapter, make_optimizer(config, adapter.model))

    def episode(task):
        step.reset_optimizer()
        step.train(task, config.steps, task)
        return step.evaluate().numpy()
else:
    from transformers import AutoModelForCausalLM
    documents = load_documents(config)
    ours = build_model(config, documents.vocabulary)
    model = AutoModelForCausalLM.from_config(type(ours.config).from_dict(
        {k: v for k, v in ours.config.to_dict().items() if k != "_attn_implementation"}))
    model.load_state_dict(ours.state_dict(), strict=False)
    del ours
    inputs = [torch.from_numpy(row[None]) for row in documents.tokens]
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[config.optimizer]

    def episode(task):
        optimizer = kind(model.parameters(), lr=config.lr)
        model.train()
        for _ in range(config.steps):
            optimizer.zero_grad()
            model(input_ids=inputs[task], labels=inputs[task]).loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            return np.array([model(input_ids=x, labels=x).loss.item() for x in inputs])

losses, seconds = [], []
for task in range(episodes):
    start = time.perf_counter()
    losses.append(episode(task).tolist())
    seconds.append(time.perf_counter() - start)
print(json.dumps({"losses": losses, "seconds": seconds[1:]}))
"""


def measure(side, config, episodes):
    done = subprocess.run(
        [sys.executable, "-c", CHILD, side, json.dumps(config.to_json()), str(episodes)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    return np.array(found["losses"]), found["seconds"]


def compare(benchmark, config, episodes, rounds):
    """Least seconds per episode of both sides, measured in turn; checks that they compute the same."""
    times = {"comp": [], "ref": []}
    losses = {}

    def both():
        for side, found in times.items():
            losses[side], seconds = measure(side, config, episodes)
            found += seconds

    benchmark.pedantic(both, rounds=rounds, iterations=1)
    np.testing.assert_allclose(losses["comp"], losses["ref"], atol=1e-3, rtol=0)
    least = {side: min(found) for side, found in times.items()}
    benchmark.extra_info.update(
        {"seconds per episode": least, "ratio": least["ref"] / least["comp"],
         "median ratio": float(np.median(times["ref"]) / np.median(times["comp"]))}
    )  # fmt: skip
    print(f"\n{config.model} {config.optimizer}: {benchmark.extra_info}")
    return least["ref"] / least["comp"]


@pytest.mark.parametrize(("preset_name", "least"), [("embedded", 1.8), ("embedded-sgd", 1.8)])
def test_embedded_network_against_the_plain_loop(benchmark, preset_name, least):
    from llm import preset

    assert compare(benchmark, preset(preset_name), episodes=10, rounds=3) >= least


def test_embedded_network_in_products_against_the_plain_loop(benchmark):
    import dataclasses

    from llm import preset

    config = dataclasses.replace(preset("embedded-sgd"), version=2)
    assert compare(benchmark, config, episodes=10, rounds=3) >= 2


@pytest.mark.parametrize("version", [1, 2])
def test_pythia_70m_against_the_plain_loop(benchmark, version):
    from llm import RunConfig

    config = RunConfig(model="pythia-70m", version=version)
    assert compare(benchmark, config, episodes=2, rounds=3) > 1


def test_a_llama_of_135m_at_64_tokens_against_the_plain_loop(benchmark, tmp_path):
    from benchmarks.llama_135m import write_folder
    from llm import RunConfig

    config = RunConfig(model=str(write_folder(tmp_path / "llama")), context=64, version=2)
    assert compare(benchmark, config, episodes=2, rounds=3) > 1
