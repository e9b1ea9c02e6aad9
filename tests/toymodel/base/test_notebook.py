import base64
import io
import re

import matplotlib.image
import numpy as np

from toymodel.base.notebook import Shown, card, heat_map, html_of


def pixels(html):
    data = re.search(r"data:image/png;base64,([^\"]+)", html)[1]
    return matplotlib.image.imread(io.BytesIO(base64.b64decode(data)), format="png")


def test_a_heat_map_has_one_pixel_a_loss_time_to_the_right():
    values = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 2.0]])
    found = pixels(heat_map(values))
    assert found.shape[:2] == (2, 3)
    light = found[..., :3].sum(-1)
    assert light[1, 2] == light.max() > light[0, 0] > light[0, 1] == light.min()


def test_heat_maps_that_share_a_top_can_be_compared():
    low, high = pixels(heat_map(np.ones((3, 2)), high=2.0)), pixels(heat_map(np.ones((3, 2))))
    assert high.sum() > low.sum()
    assert np.isfinite(pixels(heat_map(np.zeros((3, 2))))).all()


def test_what_a_card_is_told_is_text():
    html = card("<b>title</b>", [("<i>", "<script>")], [("<u>", "<img>")])
    assert "<b>" not in html
    assert "<script>" not in html
    assert "<u>" not in html
    assert "<img>" in html  # pictures are HTML


def test_values_show_themselves_by_whoever_registered():
    class Value(Shown):
        def __repr__(self):
            return "<Value>"

    assert Value()._repr_html_() == "<pre>&lt;Value&gt;</pre>"
    html_of.register(Value, lambda value: "shown")
    assert Value()._repr_html_() == "shown"
