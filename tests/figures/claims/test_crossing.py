"""Where a fixed order stops paying: known in the toy, found in losses, and named from two epochs of them."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from figures.claims.crossing import found_crossing, kept_crossing, named_crossing, over_found
from toymodel import LossMatrix, crossing_epoch, schedule, share_losses

SLOW, FAST, VARIANCE = 0.2, 0.4, 0.5
EXACT = crossing_epoch(SLOW, FAST, 25, variance_w=VARIANCE)


def toy(kind, epochs=12, seed=0):
    order = schedule(kind, 25, epochs, seed)
    return LossMatrix(share_losses(SLOW, FAST, order, variance_w=VARIANCE), order)


def found(epochs=12):
    both = {kind: toy(kind, epochs) for kind in ("cyclic", "reshuffled")}
    return {f"{kind}, long": {3: SimpleNamespace(losses=losses)} for kind, losses in both.items()}


def test_the_toys_crossing_is_found_in_its_losses():
    assert found_crossing(found())[3] == pytest.approx(EXACT, rel=0.05)
    assert found_crossing(found(5)) == {3: math.inf}
    assert found_crossing({"cyclic, long": found()["cyclic, long"], "reshuffled, long": {}}) == {}


def test_two_epochs_of_the_toy_name_it():
    # The later epochs play no part.
    losses = toy("cyclic")
    changed = np.array(losses.values)
    changed[51:] = 1.0
    for name in (named_crossing, kept_crossing):
        assert name(losses) == pytest.approx(EXACT, rel=0.03)
        assert name(LossMatrix(changed, losses.order)) == name(losses)


def test_what_is_named_is_compared_with_what_is_found():
    crossing = found_crossing(found())[3]
    assert over_found(lambda losses: 9.0)(found()) == {3: pytest.approx(9 / crossing)}
    assert over_found(lambda losses: math.inf)(found()) == {3: math.inf}
    # Where nothing crosses, naming an epoch beyond the run is right, and one within it is too early.
    assert over_found(lambda losses: math.inf)(found(5)) == {3: 1.0}
    assert over_found(lambda losses: 2.5)(found(5)) == {3: 0.5}
