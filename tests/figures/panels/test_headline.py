"""The first picture of the README: a recorded network, the toy fitted to it, and its control."""

import numpy as np
import pytest

from bridge import r_squared
from figures.catalogue import caption, render
from figures.evidence.collection import Runs, recorded
from figures.evidence.lookup import MissingRuns
from figures.evidence.scores import shifted
from figures.panels.headline import FORM, fitted_toy
from figures.style import png_bytes
from tests.figures.runs import write_family
from toymodel import recovery_scores


@pytest.fixture(scope="module")
def runs():
    return recorded()


def test_it_shows_the_recorded_run_its_fit_and_its_control(runs):
    left, right = render("headline", runs).axes
    network, control = (runs.named(f"pythia-1b-adam-{kind}seed0").losses for kind in ("", "reshuffled-"))
    toy = fitted_toy(runs.named("pythia-1b-adam-seed0"))
    for number, matrix in enumerate((network, toy.prediction, control)):
        np.testing.assert_allclose(left.get_lines()[number].get_ydata(), shifted(matrix))
        scores = [score.value for score in recovery_scores(matrix)]
        np.testing.assert_allclose(right.get_lines()[number].get_ydata(), scores)
    circles = left.get_lines()[3]
    np.testing.assert_array_equal(circles.get_xdata(), [0, 25, 50, 75, 100])
    np.testing.assert_allclose(circles.get_ydata(), shifted(network)[[0, 25, 50, 75, 100]])


def test_the_words_are_the_numbers(runs):
    words = caption("headline", runs)
    toy = fitted_toy(runs.named("pythia-1b-adam-seed0"))
    network = runs.named("pythia-1b-adam-seed0").losses
    assert len(toy.parameters) == len(FORM.terms) == 4
    assert f"R² {r_squared(network.values, toy.prediction.values):.3f}" in words
    for parameter in toy.parameters:
        assert f"{parameter.name} {parameter.value:.3g}" in words
    assert "network 0.170 0.315 0.535 0.690" in words
    assert "reshuffled 0.052 0.038 0.075 0.052" in words
    assert "One seed (0) of 1" in words


def test_it_is_the_same_every_time(runs):
    first = png_bytes(render("headline", runs))
    fitted_toy.cache_clear()
    assert png_bytes(render("headline", runs)) == first


def test_small_networks_stand_in_where_there_are_no_others(tmp_path):
    write_family(tmp_path, "fig6-small", seeds=(0,))
    left, _ = render("headline", Runs.load(tmp_path)).axes
    assert len(left.get_lines()) == 3  # no control was run
    assert left.get_lines()[0].get_label().startswith("embedded (Adam 0.001")
    with pytest.raises(MissingRuns, match="presets fig6 "):
        render("headline", Runs([]))
