"""The picture of power: measured, not drawn from memory; every part adds up."""

import numpy as np
import pytest

from bridge.orders.curves import CORRELATIONS, EPOCHS, STEPS, draw, main, measure
from toymodel import InputError


@pytest.fixture(scope="module")
def curves():
    return measure(draws=2, epochs=(2, 6), steps=(100, 400), correlations=(0.3, 0.95))


def test_parts_of_the_draws(curves):
    assert set(curves.right) == {"same order", "reshuffled", "displaced", "began anew"}
    for kind, right in curves.right.items():
        assert right.shape == (2, 2)
        assert np.isin(right, [0, 0.5, 1]).all()
        assert (right + curves.wrong[kind] <= 1).all()
    # Without noise and with a long log the truth is told.
    assert curves.right["displaced"][1, 1] == curves.right["began anew"][1, 1] == 1
    assert (curves.repeats >= curves.right["same order"]).all()


def test_the_picture(curves, tmp_path):
    whole = {
        k: np.zeros((len(CORRELATIONS), len(STEPS if k == "began anew" else EPOCHS))) for k in curves.right
    }
    same = whole["same order"]
    figure = draw(type(curves)(whole, whole, same, 1))
    assert [len(axes.lines) for axes in figure.axes] == [9, 5, 5, 5]
    with pytest.raises(InputError, match="png"):
        main(tmp_path / "power.txt")
