"""The picture, checked by what it shows: data of the lines, points, images and words."""

import dataclasses
import io
import math

import matplotlib.image
import numpy as np
import pytest

from figures import Comparison, draw, png_bytes, recovery_table, save_png
from toymodel.base.errors import InputError
from toymodel.measures.losses import LossMatrix
from toymodel.measures.recovery import recovery_scores, shift_averaged

TASKS, EPOCHS = 4, 3
FALLING = "nothing was forgotten: the loss only falls through the epoch"


def bells(share, seed=0, tasks=TASKS, epochs=EPOCHS):
    """Losses that rise after training to 2 + document and then recover `share` of the rise."""
    rng = np.random.default_rng(seed)
    values = np.empty((1 + epochs * tasks, tasks))
    for task in range(tasks):
        for row in range(len(values)):
            since = row - 1 - task
            if since < 0:
                values[row, task] = 7 - 0.1 * row + task / 10
            else:
                phase = since % tasks / (tasks - 1)
                rise = 2 * min(1.0, 2 * phase) - 2 * share * max(0.0, 2 * phase - 1)
                values[row, task] = 1 + rise + task / 10
    return LossMatrix.from_values(values + rng.normal(0, 0.01, values.shape))


def falling():
    values = 8 - 0.3 * np.arange(1 + EPOCHS * TASKS)[:, None] + np.arange(TASKS)
    return LossMatrix.from_values(values)


@pytest.fixture
def comparison():
    return Comparison(
        networks=[bells(0.4, 1), bells(0.5, 2), bells(0.6, 3)],
        toy=bells(0.3, 4),
        r2=0.953,
        held_out=bells(0.2, 5),
        fitted_epochs=2,
        held_out_r2=0.812,
        facts={"model": "tiny"},
    )


def panel(figure, letter):
    found = [axes for axes in figure.axes if axes.get_title(loc="left").startswith(f"({letter}")]
    assert len(found) == 1, letter
    return found[0]


def line(axes, label):
    found = [item for item in axes.get_lines() if item.get_label() == label]
    assert len(found) == 1, label
    return found[0].get_xydata()


def words(axes):
    """All text of a panel as one line, whatever the line breaks."""
    texts = [*(text.get_text() for text in axes.texts), axes.get_xlabel()]
    return " ".join(" ".join(texts).split())


def test_six_panels_and_one_colour_bar(comparison):
    figure = draw(comparison)
    for letter in "abcdef":
        panel(figure, letter)
    assert len(figure.axes) == 7
    assert figure.axes[-1].get_ylabel() == "loss"
    assert "tiny" in figure.get_suptitle()
    assert "4 documents, 3 epochs, 3 seeds" in figure.get_suptitle()


def test_document_curves_are_the_loss_columns(comparison):
    axes = panel(draw(comparison), "a")
    rows = np.arange(1 + EPOCHS * TASKS)
    mean = sum(m.values[:, 0] for m in comparison.networks) / 3
    np.testing.assert_allclose(line(axes, "network"), np.column_stack([rows, mean]))
    np.testing.assert_array_equal(line(axes, "toy"), np.column_stack([rows, comparison.toy.values[:, 0]]))


def test_circles_stand_right_before_each_return(comparison):
    axes = panel(draw(comparison), "a")
    # Document 1 is trained in episodes 1, 5 and 9: the rows right before its returns are 4 and 8.
    for name, matrix in (("network", comparison.network), ("toy", comparison.toy)):
        circles = line(axes, f"{name} right before return")
        np.testing.assert_array_equal(circles[:, 0], [4, 8])
        np.testing.assert_array_equal(circles[:, 1], matrix.values[[4, 8], 0])
    found = [item for item in axes.get_lines() if item.get_label() == "network right before return"][0]
    assert found.get_marker() == "o"
    assert found.get_color() == "#000000"


def test_the_document_followed_is_the_one_trained_first(comparison):
    order = np.array([[2, 0, 1, 3]] * EPOCHS)
    again = dataclasses.replace(
        comparison,
        networks=[LossMatrix(m.values, order) for m in comparison.networks],
        toy=LossMatrix(comparison.toy.values, order),
        held_out=None,
    )
    axes = panel(draw(again), "a")
    assert "document 3" in axes.get_title(loc="left")
    np.testing.assert_array_equal(line(axes, "toy")[:, 1], comparison.toy.values[:, 2])


def test_shift_averaged_curves_and_band_over_seeds(comparison):
    axes = panel(draw(comparison), "b")
    length = 1 + EPOCHS * TASKS - (TASKS - 1)  # lags that every document reaches
    means = np.array([shift_averaged(m).mean[:length] for m in comparison.networks])
    shown = line(axes, "network")
    np.testing.assert_array_equal(shown[:, 0], np.arange(length))
    np.testing.assert_allclose(shown[:, 1], means.mean(axis=0))
    np.testing.assert_allclose(line(axes, "toy")[:, 1], shift_averaged(comparison.toy).mean[:length])
    (path,) = axes.collections[0].get_paths()
    low, high = means.mean(axis=0) - means.std(axis=0, ddof=1), means.mean(axis=0) + means.std(axis=0, ddof=1)
    for lag in range(1, length - 1):
        at = path.vertices[path.vertices[:, 0] == lag][:, 1]
        np.testing.assert_allclose([at.min(), at.max()], [low[lag], high[lag]])


def test_band_of_a_single_seed_is_over_documents(comparison):
    one = dataclasses.replace(comparison, networks=comparison.networks[:1])
    figure = draw(one)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "(b) ± standard deviation over documents (one seed)" in labels
    (path,) = panel(figure, "b").collections[0].get_paths()
    curve = shift_averaged(one.network)
    at = path.vertices[path.vertices[:, 0] == 3][:, 1]
    np.testing.assert_allclose(np.ptp(at), 2 * curve.deviation[3])
    assert "one seed: no error bars" in words(panel(figure, "e"))
    several = [text.get_text() for text in draw(comparison).legends[0].get_texts()]
    assert "(b) ± standard deviation over seeds" in several


def test_held_out_epochs_are_shaded_and_predicted(comparison):
    axes = panel(draw(comparison), "b")
    # Two epochs of four episodes are fitted: the last document leaves them at lag 8 - 3, the first at 8.
    starts = sorted(patch.get_x() for patch in axes.patches)
    assert starts == [5, 8]
    assert [patch.get_x() + patch.get_width() for patch in axes.patches] == [9, 9]
    shown = line(axes, "held-out")
    np.testing.assert_array_equal(shown[:, 0], np.arange(5, 10))
    np.testing.assert_allclose(shown[:, 1], shift_averaged(comparison.held_out).mean[5:10])
    without = panel(draw(dataclasses.replace(comparison, held_out=None)), "b")
    assert not without.patches


def test_heat_maps_show_both_matrices_on_one_scale(comparison):
    figure = draw(comparison)
    (network,) = panel(figure, "c").images
    (toy,) = panel(figure, "d").images
    np.testing.assert_array_equal(network.get_array(), comparison.network.values.T)
    np.testing.assert_array_equal(toy.get_array(), comparison.toy.values.T)
    both = np.concatenate([comparison.network.values, comparison.toy.values])
    assert network.get_clim() == toy.get_clim() == (both.min(), both.max())
    assert network.norm is toy.norm
    assert network.get_cmap() == toy.get_cmap()


def test_recovery_points_and_error_bars(comparison):
    axes = panel(draw(comparison), "e")
    scores = np.array([[s.value for s in recovery_scores(m)] for m in comparison.networks])
    bars = axes.containers[0]
    np.testing.assert_allclose(bars.lines[0].get_ydata(), scores.mean(axis=0))
    np.testing.assert_allclose(bars.lines[0].get_xdata(), [1, 2], atol=0.1)
    heights = [np.ptp(segment[:, 1]) for segment in bars.lines[2][0].get_segments()]
    np.testing.assert_allclose(heights, 2 * scores.std(axis=0, ddof=1))
    toy = line(axes, "toy")
    np.testing.assert_allclose(toy[:, 1], [s.value for s in recovery_scores(comparison.toy)])
    # `bells` peaks at 2/3 of the way, after a third of its recovery: its score is 2 s / (3 - s) for share s.
    assert scores.mean() == pytest.approx(np.mean([2 * s / (3 - s) for s in (0.4, 0.5, 0.6)]), abs=0.02)
    assert toy[:, 1].mean() == pytest.approx(0.6 / 2.7, abs=0.02)
    assert "none" not in words(axes)


def test_a_score_without_meaning_is_absent_and_said(comparison):
    axes = panel(draw(dataclasses.replace(comparison, toy=falling())), "e")
    assert np.isnan(line(axes, "toy")[:, 1]).all()
    assert sum(text.get_text() == "toy: none" for text in axes.texts) == 2
    assert f"toy, epoch 1, 2: {FALLING}" in words(axes)
    assert "network: none" not in words(axes)


def test_seeds_without_a_score_are_counted_not_averaged(comparison):
    mixed = dataclasses.replace(comparison, networks=[bells(0.4, 1), falling(), bells(0.6, 3)])
    for index, row in enumerate(recovery_table(mixed)):
        values = [recovery_scores(mixed.networks[i])[index].value for i in (0, 2)]
        assert row.seeds == 2
        assert row.network == pytest.approx(np.mean(values))
        assert row.deviation == pytest.approx(np.std(values, ddof=1))
        assert row.network_reason == FALLING
    assert f"network (1 of 3 seeds), epoch 1, 2: {FALLING}" in words(panel(draw(mixed), "e"))
    nowhere = recovery_table(dataclasses.replace(comparison, networks=[falling()]))
    assert all(math.isnan(row.network) and row.seeds == 0 and row.deviation is None for row in nowhere)


def test_prediction_scatter_holds_only_held_out_losses(comparison):
    axes = panel(draw(comparison), "f")
    shown = line(axes, "losses")
    np.testing.assert_array_equal(shown[:, 0], comparison.network.values[9:].ravel())
    np.testing.assert_array_equal(shown[:, 1], comparison.held_out.values[9:].ravel())
    identity = line(axes, "identity")
    np.testing.assert_array_equal(identity[:, 0], identity[:, 1])
    assert identity.min() == shown.min()
    assert identity.max() == shown.max()
    assert axes.get_title(loc="left") == "(f) epoch 3 held out: $R^2$ = 0.812"


@pytest.mark.parametrize("reason", ["", "two epochs are too few: costs $5 and $6"])
def test_without_a_prediction_the_panel_says_why(comparison, reason):
    axes = panel(draw(dataclasses.replace(comparison, held_out=None, held_out_reason=reason)), "f")
    assert not axes.get_lines()
    said = words(axes).replace("\\", "")
    assert (reason or "fitted to all epochs and none was held out") in said


def test_one_epoch_and_a_constant_matrix_can_be_drawn():
    flat = LossMatrix.from_values(np.ones((3, 2)))
    figure = draw(Comparison([flat], flat, r2=math.nan))
    assert "trained only once" in words(panel(figure, "e"))
    assert png_bytes(figure)[:4] == b"\x89PNG"


def test_equal_data_give_equal_bytes(comparison, tmp_path):
    first = png_bytes(draw(comparison))
    assert first == png_bytes(draw(comparison))
    assert b"Software" not in first
    assert b"matplotlib" not in first.lower()
    assert first != png_bytes(draw(dataclasses.replace(comparison, toy=bells(0.35, 4))))
    save_png(draw(comparison), tmp_path / "deep" / "picture.png")
    assert (tmp_path / "deep" / "picture.png").read_bytes() == first
    height, width = matplotlib.image.imread(io.BytesIO(first), format="png").shape[:2]
    assert width >= 1200
    assert height >= 1200


def test_drawing_leaves_global_settings_alone(comparison):
    before = dict(matplotlib.rcParams)
    png_bytes(draw(comparison))
    assert dict(matplotlib.rcParams) == before


def test_nothing_is_drawn_on_top_of_anything(comparison):
    """Panels, title and legend, with all their words, keep apart, also with every note shown."""
    for case in (comparison, dataclasses.replace(comparison, toy=falling(), networks=[falling()])):
        figure = draw(case)
        png_bytes(figure)
        renderer = figure.canvas.get_renderer()
        boxes = [axes.get_tightbbox(renderer) for axes in figure.axes]
        boxes.append(figure.legends[0].get_window_extent(renderer))
        boxes.append(figure._suptitle.get_window_extent(renderer))
        for index, box in enumerate(boxes):
            assert box.x0 >= 0
            assert box.y0 >= 0
            assert box.x1 <= figure.bbox.x1
            assert box.y1 <= figure.bbox.y1
            for other in boxes[index + 1 :]:
                across = min(box.x1, other.x1) - max(box.x0, other.x0)
                down = min(box.y1, other.y1) - max(box.y0, other.y0)
                assert across <= 1 or down <= 1


def test_bad_input_is_named(comparison):
    with pytest.raises(InputError, match="without a network"):
        dataclasses.replace(comparison, networks=[])
    with pytest.raises(InputError, match="the toy model has 5 documents"):
        dataclasses.replace(comparison, toy=bells(0.5, tasks=5))
    shuffled = LossMatrix(comparison.networks[0].values, np.array([[1, 0, 2, 3]] * EPOCHS))
    with pytest.raises(InputError, match="network 2 has 4 documents"):
        dataclasses.replace(comparison, networks=[comparison.networks[0], shuffled])
    for wrong in (None, 0, EPOCHS):
        with pytest.raises(InputError, match=f"fitted_epochs = {wrong}"):
            dataclasses.replace(comparison, fitted_epochs=wrong)
