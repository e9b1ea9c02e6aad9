"""Figures 7a and 7b show what the runs on images found, in their own units."""

from dataclasses import replace

import numpy as np
import pytest

from figures.catalogue import caption, choose, render
from figures.evidence.collection import Runs
from figures.evidence.lookup import MissingRuns
from figures.evidence.scores import last_score, shifted
from llm.presets import family
from tests.figures.runs import write_run
from toymodel import LossMatrix


def losses(seed, level):
    """A cyclic course with recovery, around a level."""
    rng = np.random.default_rng(seed)
    order = np.tile(np.arange(25), (5, 1))
    since = (np.arange(126)[:, None] - 1 - np.arange(25)) % 25
    return LossMatrix(level + np.sin(np.pi * since / 25) + 0.01 * rng.random((126, 25)), order)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    for level, name in ((1, "fig7a-embedded"), (3, "fig7b-embedded")):
        for number, member in enumerate(family(name)):
            for seed in (0, 1):
                config = replace(member.config, seed=seed)
                write_run(root, config, losses=losses(seed, level + number))
    return Runs.load(root)


@pytest.mark.parametrize(
    ("name", "unit", "tasks", "names"),
    [
        ("7a", "pixel", "images", ["ImageGPT small", "ImageGPT medium"]),
        ("7b", "image", "batches", ["ViT", "VGG-19"]),
    ],
)
def test_curves_scores_and_units_are_the_runs(runs, name, unit, tasks, names):
    found = runs.family(f"fig{name}", "small")
    assert found.form == "-embedded"
    curves, scores = render(name, runs).axes
    assert curves.get_ylabel() == f"loss (nats per {unit})"
    lines = {line.get_label(): line.get_ydata() for line in curves.get_lines()}
    for label, member in zip(names, found.members, strict=True):
        np.testing.assert_allclose(lines[label], np.mean([shifted(m) for m in member.losses], axis=0))
    bars = [bar.get_width() for bar in scores.patches]
    expected = [np.mean([last_score(m) for m in member.losses]) for member in found.members]
    np.testing.assert_allclose(bars, expected)
    words = caption(name, runs)
    assert f"nats per {unit}" in words
    assert f"averaged over {tasks}" in words
    assert "pieces of a photograph; not the paper's" in words
    assert not {"token", "document", "manual"} & set(words.replace(",", " ").split())


def test_missing_runs_are_named_with_their_command():
    with pytest.raises(MissingRuns, match="reawaken llm sweep --presets fig7b "):
        render("7b", Runs([]))
    assert choose(["7"]) == ["7a", "7b"]
