"""The recorded runs of a pretrained network on a CPU: what they say of themselves holds together."""

import json
import re
import shlex

import numpy as np
import pytest

from figures.evidence.collection import RECORDED
from figures.evidence.stored import read_folders
from llm.runs.kept import provenance
from llm.tasks.order import episode_order
from reawaken import main
from tests.documented import ROOT

PLACE = RECORDED / "smollm2-cpu"
RUNS = list(read_folders(PLACE))
GIVEN = json.loads((RECORDED / "h100" / "smollm2-pretrained-sgd-seed0" / "manifest.json").read_text())


def test_every_run_has_its_line_and_every_line_its_run():
    assert {run.name for run in RUNS} == set(provenance(PLACE)["runs"])


def groups():
    """Recovery scores and mean losses before and after, shape (seeds, epochs + 2), by experiment."""
    found = {}
    for run in RUNS:
        key = (run.config.weights, run.config.optimizer)
        ends = run.losses.values[[0, -1]].mean(axis=1)
        found.setdefault(key, []).append([*(score.value for score in run.recovery()), *ends])
    return {key: np.array(rows) for key, rows in found.items()}


def test_the_page_of_data_says_what_they_say():
    rows = {
        tuple(re.sub("random weights", "random", cells[0]).lower().split(", ")[:2]): cells
        for line in (ROOT / "docs" / "data.md").read_text().splitlines()
        if line.startswith("|") and "Adam" in line or line.startswith("| pretrained, SGD")
        for cells in [[cell.strip() for cell in line.strip("|").split("|")]]
    }
    assert rows.keys() == groups().keys()
    for key, values in groups().items():
        _, seeds, scores, losses = rows[key]
        assert int(seeds) == len(values)
        assert [float(n) for n in re.findall(r"(\d*\.\d+)(?: \(|,|$)", scores)] == list(
            values[:, :3].mean(0).round(3)
        )
        if len(values) > 1:
            said = [float(n) for n in re.findall(r"\((\.\d+)\)", scores)]
            assert said == list(values[:, :3].std(0, ddof=1).round(3))
        assert [float(n) for n in losses.split(",")] == list(values[:, 3:].mean(0).round(2))


def test_seeds_draw_documents_and_weights_of_their_own():
    for weights, optimizer in groups():
        some = [r for r in RUNS if (r.config.weights, r.config.optimizer) == (weights, optimizer)]
        assert len({r.manifest["tasks"]["sha256"] for r in some}) == len(some)
        drawn = {r.manifest["model"]["sha256"] for r in some}
        assert len(drawn) == (1 if weights == "pretrained" else len(some))


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_a_run_is_what_it_says(run, monkeypatch):
    started = []

    def start(config, *args, **kwargs):
        started.append(config)
        raise KeyboardInterrupt

    monkeypatch.setattr("llm.training.loop.run", start)
    program, *words = shlex.split(provenance(PLACE)["runs"][run.name]["command"])
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
