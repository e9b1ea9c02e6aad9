"""The network's figures say what they show: their data, read back from the axes."""

import json
from dataclasses import replace

import numpy as np
import pytest

from figures import catalogue
from figures.catalogue import FIGURES, caption, render
from figures.evidence.collection import Runs, recorded
from figures.evidence.counterparts import counterpart, toy_losses
from figures.evidence.lookup import MissingRuns
from figures.evidence.scores import last_score, shifted
from figures.panels import fig08, movement
from figures.panels.varied import PANELS
from figures.style import SERIES, png_bytes
from llm.presets import family, preset
from tests.figures.runs import write_family, write_run
from toymodel import random_tasks, simulate

# What needs trained weights of several sizes.
UNRECORDED = {"2a", "pretraining"}
CURVES = {"3a": "fig3-width", "5a": "fig5-documents", "5b": "fig5-steps", "12": "fig12", "15": "fig15"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    for name in (*CURVES.values(), "fig1", "control", "fig8", "fig9", "fig17", "sec4"):
        write_family(root, f"{name}-small")
    for member in family("fig18-small")[:1]:
        write_family(root, member.name)
    return Runs.load(root)


def panels(figure):
    """Axes by their place: curves and scores of the network, then of the toy."""
    return [axes for axes in figure.axes if axes.get_visible()]


def curves(axes):
    return {line.get_label(): line for line in axes.get_lines() if not line.get_label().startswith("_")}


@pytest.mark.parametrize(("name", "of"), CURVES.items())
def test_curves_and_scores_are_the_runs(runs, name, of):
    figure = render(name, runs)
    found = runs.family(of, "small")
    labels = [line.label for line in PANELS[name].lines(found)]
    network, scores = panels(figure)[:2]
    drawn = curves(network)
    assert [label for label in drawn if label in labels] == labels
    assert len(set(labels)) == len(found.members)
    for label, member in zip(labels, found.members, strict=True):
        if PANELS[name].align == "shift":
            expected = np.mean([shifted(m) for m in member.losses], axis=0)
        else:
            expected = np.mean([m.values[:, m.order[0, 0]] for m in member.losses], axis=0)
        np.testing.assert_allclose(drawn[label].get_ydata(), expected)
    values = [[last_score(m) for m in member.losses] for member in found.members]
    widths = [bar.get_width() for bar in scores.patches]
    np.testing.assert_allclose(widths, [np.mean(v) for v in values])
    markers = {look["marker"] for look in SERIES}
    dots = [line.get_xdata() for line in scores.get_lines() if line.get_marker() in markers]
    assert sorted(np.concatenate(dots)) == pytest.approx(sorted(np.concatenate(values)))
    assert [t.get_text() for t in scores.get_yticklabels()] == labels


def test_black_circles_stand_just_before_the_focal_document(runs):
    axes = panels(render("1a", runs))[0]
    circles = [line for line in axes.get_lines() if line.get_marker() == "o"]
    assert len(circles) == 1
    np.testing.assert_array_equal(circles[0].get_xdata(), [0, 25, 50, 75, 100])
    assert circles[0].get_color() == "#000000"
    # The same rows of the curve, and the loss falls right after each.
    curve = next(iter(curves(axes).values())).get_ydata()
    np.testing.assert_array_equal(circles[0].get_ydata(), curve[[0, 25, 50, 75, 100]])
    assert (curve[[1, 26, 51, 76, 101]] < curve[[0, 25, 50, 75, 100]]).all()


def test_orders_that_do_not_repeat_have_no_circles_but_the_first(runs):
    axes = panels(render("control", runs))[0]
    dots = [len(line.get_xdata()) for line in axes.get_lines() if line.get_label() == "_before"]
    assert dots == [5, 5, 1, 1]  # cyclic, shuffled once, reshuffled, drawn


def test_controls_stand_behind_the_curves_of_their_settings(runs):
    drawn = curves(panels(render("5b", runs))[0])
    assert "order reshuffled every epoch" in drawn
    assert "documents drawn at random" in drawn
    # Nothing was run with a control for these widths but the full one, which is the common setting.
    assert "order reshuffled every epoch" in curves(panels(render("3a", runs))[0])
    assert "order reshuffled every epoch" not in curves(panels(render("sec4", runs))[0])


def test_shades_are_one_deviation_over_seeds(runs):
    axes = panels(render("1b", runs))[0]
    member = runs.family("fig1", "small").members[0]
    table = [shifted(m) for m in member.losses]
    mean, spread = np.mean(table, axis=0), np.std(table, axis=0, ddof=1)
    (shade,) = axes.collections
    edges = shade.get_paths()[0].vertices
    assert edges[:, 1].min() == pytest.approx((mean - spread).min())
    assert edges[:, 1].max() == pytest.approx((mean + spread).max())


def test_the_toy_is_below_in_the_same_axes(runs):
    network, _, toy, _ = panels(render("5b", runs))
    assert network.get_shared_x_axes().joined(network, toy)
    for member, line in zip(family("fig5-steps"), curves(toy).values(), strict=True):
        expected = np.mean([shifted(toy_losses(counterpart(member), seed)) for seed in range(3)], axis=0)
        np.testing.assert_allclose(line.get_ydata(), expected)
    # What the toy lacks is not made up.
    assert len(panels(render("15", runs))) == 2


def test_documents_are_counted_in_epochs_where_their_number_varies(runs):
    drawn = curves(panels(render("5a", runs))[0])
    for line in drawn.values():
        assert line.get_xdata()[-1] == 4
    assert {len(line.get_xdata()) for line in drawn.values()} >= {1 + 4 * T for T in (10, 25, 50, 100, 200)}


def test_legends_lie_outside_every_panel(runs):
    figure = render("5b", runs)
    figure.canvas.draw()
    (legend,) = figure.legends
    box = legend.get_window_extent()
    for axes in figure.axes:
        assert axes.get_legend() is None
        assert not box.overlaps(axes.get_tightbbox())


def test_series_differ_without_colour():
    assert len({str(look["linestyle"]) for look in SERIES}) == len(SERIES)
    assert len({look["marker"] for look in SERIES}) == len(SERIES)
    most = max(len(family(p.family)) for p in PANELS.values())
    assert most <= len(SERIES)


@pytest.mark.parametrize("name", ["8a", "8b", "8c", "8d", "18a"])
def test_matrices_are_means_over_seeds(runs, name):
    shown = catalogue.panel(name)
    figure = render(name, runs)
    images = [axes.images[0] for axes in figure.axes if axes.images]
    member = runs.family(shown.family, "small").members[0]
    expected = np.mean([shown.read(run) for run in member.runs], axis=0)
    np.testing.assert_allclose(images[0].get_array(), expected)
    toy = np.asarray(images[1].get_array())
    assert toy.shape == expected.shape
    assert np.isfinite(toy).mean() > 0.5
    for image in images:
        low, high = image.get_clim()
        assert low < high
    if name == "8c":
        assert tuple(images[0].get_extent()[:2]) == (25.5, 100.5)  # episodes 26 to 100
    assert figure.axes[0].get_title(loc="left").startswith(f"({name})")


def test_a_documents_own_gain_does_not_set_the_colours(runs):
    image = render("8b", runs).axes[0].images[0]
    matrix = np.asarray(image.get_array())
    off = np.abs(matrix[~np.eye(len(matrix), dtype=bool)])
    assert image.get_clim()[1] <= off.max()


def test_the_helix_turns_once_per_epoch_about_a_moving_axis():
    turn = 2 * np.pi * np.arange(100) / 25
    drift = np.linspace(0, 8, 100)
    helix = np.stack([np.cos(turn) + drift, np.sin(turn) - drift, drift**2], axis=1)
    assert movement.turns_per_epoch(helix, 25) == pytest.approx(1, abs=0.02)
    twice = np.stack([np.cos(2 * turn), np.sin(2 * turn), drift], axis=1)
    assert movement.turns_per_epoch(twice, 25) == pytest.approx(2, abs=0.02)


def test_fig9_draws_every_episode_of_the_first_seed(runs):
    figure = render("9", runs)
    found = runs.family("fig9", "small").members[0].runs[0].probe("pca")
    line = figure.axes[0].get_lines()[0]
    np.testing.assert_allclose(np.stack(line.get_data_3d(), axis=1), found["coordinates"])
    assert f"They hold {found['explained'].sum():.0%} of the variance" in caption("9", runs)


@pytest.mark.parametrize("name", ["17a", "17b"])
def test_sizes_are_means_over_seeds(runs, name):
    left, right = render(name, runs).axes
    key = {"17a": "activations", "17b": "weights"}[name]
    found = [np.ravel(run.probe("updates")[key]) for run in runs.family("fig17", "small").members[0].runs]
    np.testing.assert_allclose(left.get_lines()[0].get_ydata(), np.mean(found, axis=0))
    assert len(right.get_lines()[0].get_ydata()) == 100


def test_a_run_in_an_order_of_its_own_is_drawn_under_a_title_that_has_room(tmp_path):
    order = json.dumps([[0, 2, 5, 6, 1, 4, 3, 7]] * 5)
    losses = simulate(random_tasks(8, 30), "reflection", rate=0.02, order=json.loads(order), epochs=5).losses
    for name in ("fig1-embedded", "fig1-random"):
        write_run(tmp_path, replace(preset(name), num_documents=8, order=order), losses=losses)
    figure = render("1b", Runs.load(tmp_path))
    png_bytes(figure)  # warns where the axes have no room left
    titles = [line for axes in panels(figure) for line in axes.get_title("left").splitlines()]
    assert "schedule given" in " ".join(titles)
    assert max(map(len, titles)) <= 75


def test_missing_runs_are_said_with_the_command(runs):
    with pytest.raises(MissingRuns, match=r"reawaken llm sweep --presets fig6 --seeds 0 1 2 --out runs"):
        render("6", Runs([]))
    # Small random networks never stand for pretrained ones.
    with pytest.raises(MissingRuns, match="presets fig2a "):
        render("2a", runs)
    with pytest.raises(MissingRuns, match=r"fig18-100-small"):
        render("18b", runs)
    assert {"18a", "18b", "18c"} <= set(fig08.PANELS)


def test_captions_have_units_identity_and_command(runs):
    words = caption("5b", runs)
    assert "nats per token" in words
    assert "not the paper's" in words
    assert "The paper found: More steps, more recovery" in words
    assert "reawaken llm sweep --presets fig5-steps-small" in words
    for run in runs.family("fig5-steps", "small").runs:
        assert f"{run.config.id} (seed {run.config.seed})" in words
    assert "12,345 weights" in words
    assert "Commit abc123" in words
    lacking = Runs([run for run in runs if run.config.steps != 20])
    assert "Without runs: fig5-steps-20-small" in caption("5b", lacking)
    assert "standard deviation" in caption("8a", runs) or "Mean over 2" in caption("8a", runs)


def test_the_same_runs_give_the_same_bytes(runs):
    assert png_bytes(render("12", runs)) == png_bytes(render("12", runs))


def test_one_seed_has_no_shade(runs):
    alone = Runs([run for run in runs if run.config.seed == 0])
    assert not panels(render("1b", alone))[0].collections
    assert "Mean over 1 seed (small networks)" in caption("1b", alone)


def test_every_figure_of_the_paper_is_there():
    names = {"1a", "1b", "2a", "2b", "3a", "3b", "4a", "4b", "5a", "5b", "5c", "5d", "6", "7a", "7b", "9"}
    names |= {"8a", "8b", "8c", "8d", "10", "11", "12", "13", "14", "15", "16a", "16b", "17a", "17b"}
    names |= {"18a", "18b", "18c"}
    assert names <= set(FIGURES)
    for name in names:
        assert FIGURES[name].found, name


def test_toy_counterparts_follow_the_paper_form_of_a_preset():
    for name in ("fig5-context", "fig16b", "fig4-shift"):
        for own, small in zip(family(name), family(f"{name}-small"), strict=True):
            assert counterpart(own) == counterpart(small)
    base = counterpart(family("fig1")[0])
    assert counterpart(family("fig5-steps")[2]) == base  # M = 10
    assert counterpart(family("fig16b")[2]).steps == 40
    assert counterpart(family("fig16b")[2]).slow == pytest.approx(base.slow / 4)
    assert replace(counterpart(family("fig5-documents")[0]), tasks=25) == base
    assert counterpart(family("fig14")[0]) is None


@pytest.mark.parametrize("name", [name for name, entry in FIGURES.items() if entry.needs_runs])
def test_every_figure_draws_from_the_recorded_results(name):
    runs = recorded()
    if name in UNRECORDED:
        with pytest.raises(MissingRuns, match="reawaken llm sweep --presets"):
            render(name, runs)
        return
    figure = render(name, runs)
    for axes in figure.axes:
        drawn = [*axes.get_lines(), *axes.images, *axes.patches, *axes.collections]
        assert drawn, axes.get_title(loc="left")
        for line in axes.get_lines():
            values = np.asarray(line.get_ydata(), dtype=float)
            assert np.isfinite(values).all()
        low, high = axes.get_ylim()
        assert np.isfinite([low, high]).all()
        assert low != high
    scales = {one.scale for one in catalogue.families(name, runs)}
    assert ("not the paper's" in caption(name, runs)) == ("small" in scales)
