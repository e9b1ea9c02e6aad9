"""The recorded runs of a pretrained network on a CPU: what they say of themselves holds together."""

import json

import numpy as np
import pytest

from figures.evidence.collection import RECORDED
from figures.evidence.stored import read_folders
from llm.runs.kept import provenance
from llm.tasks.order import episode_order
from reawaken import main

PLACE = RECORDED / "smollm2-cpu"
RUNS = list(read_folders(PLACE))
GIVEN = json.loads((RECORDED / "h100" / "smollm2-pretrained-sgd-seed0" / "manifest.json").read_text())


def test_every_run_has_its_line_and_every_line_its_run():
    assert {run.name for run in RUNS} == set(provenance(PLACE)["runs"])


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_a_run_is_what_it_says(run, monkeypatch):
    started = []

    def start(config, *args, **kwargs):
        started.append(config)
        raise KeyboardInterrupt

    monkeypatch.setattr("llm.training.loop.run", start)
    program, *words = provenance(PLACE)["runs"][run.name]["command"].split()
    assert (program, main(words)) == ("reawaken", 130)
    assert started == [run.config]
    np.testing.assert_array_equal(run.losses.order, episode_order(run.config))
    log = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    np.testing.assert_allclose([line["mean_loss"] for line in log], run.losses.values[1:].mean(1), rtol=1e-12)


@pytest.mark.parametrize(
    "run", [run for run in RUNS if run.config.weights == "pretrained"], ids=lambda r: r.name
)
def test_pretrained_weights_are_those_of_the_runs_on_a_gpu(run):
    """There they came from a folder that another version of the library had unpacked."""
    model, tasks = run.manifest["model"], run.manifest["tasks"]
    assert model["sha256"] == GIVEN["model"]["sha256"]
    assert model["quantization"] == {"Q4_1": 210, "F32": 61, "Q8_0": 1}
    if run.config.seed == 0:  # which draws the documents
        assert tasks["names"] == GIVEN["tasks"]["names"][: run.config.num_documents]
    assert run.losses.values[0].mean() < 5, "it knows the language, if not these texts"
