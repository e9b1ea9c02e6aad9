"""The toy model's figures say what they show: their data, read back from the axes."""

import re

import numpy as np
import pytest

from figures.panels import fig10, fig11, geometry, theory
from figures.style import figure_style, new_figure


def lines(axes):
    """Line data by label."""
    return {line.get_label(): line.get_xydata() for line in axes.get_lines()}


def panel(letter):
    with figure_style():
        axes = new_figure(5, 4).subplots()
        theory.PANELS[letter][0](axes)
    return axes


@pytest.fixture(scope="module")
def ten():
    return fig10.draw(seeds=1)


def test_fig10_has_the_papers_peaks():
    expected = fig10.peaks(fig10.course("none", 1000, 0.001))[:4]
    np.testing.assert_allclose(expected, [19.8, 9.0, 4.1, 2.1], rtol=0.12)
    # Three seeds of f(w) = y - w at y ~ U(-1, 1).
    runs = [fig10.peaks(fig10.course("uniform", 100, 0.01, seed))[:4] for seed in range(3)]
    np.testing.assert_allclose(np.mean(runs, axis=0), [23.6, 15.8, 13.2, 11.7], rtol=0.15)


def test_fig10_shows_that_the_texts_rate_diverges(ten):
    first, second, third = ten.axes
    shown = {label: data for label, data in lines(third).items() if label.startswith("rate")}
    texts, papers = shown["rate 0.01: rate·||x||² = 3.3"], shown["rate 0.001: rate·||x||² = 0.33"]
    assert texts[-1, 1] > 1e150
    assert papers[-1, 1] < papers[0, 1]
    assert "stable up to rate 0.003" in third.texts[0].get_text()
    assert "0.01" in fig10.__doc__
    assert "diverge" in fig10.__doc__
    # Both targets, with the axis of the paper's panel.
    assert sum(label.startswith("y ~") for label in lines(second)) == 2
    assert 80 <= second.get_ylim()[1] <= 90
    assert first.get_ylim() == (0, 25)


def test_fig10_annotates_the_peaks_it_draws(ten):
    first = ten.axes[0]
    drawn = lines(first)["expected loss"][:, 1]
    shown = [float(t.get_text()) for t in first.texts if re.fullmatch(r"[\d.]+", t.get_text())]
    np.testing.assert_allclose(shown, fig10.peaks(drawn)[:4], atol=0.051)
    assert f"{drawn[0]:.0f} before training" in [t.get_text() for t in first.texts]


def test_fig11_becomes_a_ring():
    shown = fig11.rings("normal")
    shares = [share for _, share in shown]
    assert (np.diff(shares) > 0).all()
    assert shares[-1] > 0.6
    # Neighbours in the order of training lie next to each other at the end, and nowhere near at the start.
    steps = [np.linalg.norm(np.roll(p, 1, axis=0) - p, axis=1).mean() / p.std() for p, _ in shown]
    assert steps[-1] < 0.5 * steps[0]
    reach = max(np.abs(points).max() for points, _ in shown)
    assert 5 < reach < 8  # the paper's axes, to 6
    assert max(np.abs(points).max() for points, _ in fig11.rings("uniform")) < 5


def test_fig11_has_the_papers_epochs():
    figure = fig11.draw()
    titles = [axes.get_title(loc="left") for axes in figure.axes[:10]]
    assert [int(re.match(r"epoch (\d+)", title)[1]) for title in titles] == [0, 1, 2, 4, 10] * 2


@pytest.mark.parametrize("letter", ["a", "c"])
def test_theory_dots_lie_on_lines(letter):
    axes = panel(letter)
    curves = [
        line.get_ydata() for line in axes.get_lines() if line.get_linestyle() == "-" and len(line.get_xdata())
    ]
    dots = [line.get_ydata() for line in axes.get_lines() if line.get_linestyle() == "None"]
    assert len(dots) >= 2
    for dot in dots:
        assert min(np.abs(dot - curve).max() for curve in curves) < 1e-9 * np.max(dot)


def test_theory_spectra_coincide():
    axes = panel("d")
    shown = [line.get_xydata() for line in axes.get_lines() if len(line.get_xdata()) == 25]
    assert len(shown) == 4
    for numeric, roots in (shown[:2], shown[2:]):
        nearest = np.linalg.norm(numeric[:, None] - roots, axis=2).min(1)
        assert nearest.max() < 1e-6


def test_theory_stability_agrees_everywhere():
    title = panel("e").get_legend().get_title().get_text()
    agree, total = map(int, re.search(r"(\d+) of (\d+) points", title).groups())
    assert agree == total > 1000


def test_theory_scores_end_in_their_bands():
    axes = panel("g")
    scores = [line.get_ydata() for line in axes.get_lines() if line.get_label().startswith("A =")]
    predicted = [line.get_ydata()[0] for line in axes.get_lines() if line.get_linestyle() == "-"]
    assert len(scores) == len(predicted) == 4
    for course, limit in zip(scores, predicted, strict=True):
        assert course[-1] == pytest.approx(limit, abs=0.025)
        assert abs(course[0] - limit) > 0.1


def test_theory_consensus_is_reached_in_any_order():
    for label, data in lines(panel("b")).items():
        if label.endswith("order"):
            assert data[-1, 1] < 0.05 * data[0, 1], label


def test_theory_motion_starts_at_the_predictions():
    axes = panel("f")
    flat = [line.get_ydata()[0] for line in axes.get_lines() if len(line.get_xdata()) == 2]
    for line in axes.get_lines():
        if "k" in line.get_label() and len(line.get_xdata()) == 12:
            assert min(abs(line.get_ydata()[0] / value - 1) for value in flat) < 0.02


def test_theory_figure_letters_match_its_panels():
    figure = theory.draw()
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]
    assert [title[1] for title in titles] == list(theory.PANELS)


def test_geometry_figure_panels():
    figure = geometry.draw(tasks=10)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    for letter in ("8a", "8b", "8c", "8d", "9", "17a", "17b", "18b"):
        assert any(title.startswith(f"({letter})") for title in titles), letter
    helix = next(title for title in titles if title.startswith("(9)"))
    measured, predicted = map(float, re.findall(r"\d\.\d+", helix))
    assert measured == pytest.approx(predicted, abs=0.02)
