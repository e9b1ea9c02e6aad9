"""Figures of orders: drawn from recorded runs, and honest where there are none."""

import numpy as np
import pytest

from figures.evidence.collection import Runs, recorded
from figures.evidence.lookup import MissingRuns
from figures.panels.movement import helix_and_nulls, walks
from figures.panels.orders import networks, theory


def test_the_theory_has_its_networks_on_it():
    figure = theory.draw()
    assert len(figure.axes) == len(theory.PANELS)
    names = {text for axes in figure.axes for text in axes.get_legend_handles_labels()[1]}
    assert "Pythia-1B, Adam" in names
    assert any(name.startswith("embedded network, 3 seeds") for name in names)


def test_the_theory_without_runs(monkeypatch):
    monkeypatch.setattr(theory, "recorded", lambda: Runs([]))
    assert theory.draw().axes


def test_online_loss_by_order():
    runs = recorded()
    figure = networks.PANELS["online"].draw(runs)
    titles = [axes.get_title(loc="left") or axes.get_title() for axes in figure.axes]
    assert any("Pythia-1B" in title for title in titles)
    assert "epochs 2 on" in str(networks.PANELS["online"].caption(runs))
    with pytest.raises(MissingRuns, match="v2-online"):
        networks.PANELS["online"].draw(Runs([]))


def test_pretraining_needs_its_revisions():
    with pytest.raises(MissingRuns, match="v2-pretraining"):
        networks.PANELS["pretraining"].draw(recorded())


def test_walks_turn_less_than_a_helix():
    found = walks(75, 25, draws=8)
    assert found.shape == (8, 2)
    assert found[:, 0].mean() < 0.8
    assert (found[:, 1] > 0.5).all()
    rows = dict(helix_and_nulls(recorded()))
    assert rows["Fig. 9: small networks"][:, 0].min() > 0.9
    assert np.all(rows["palindrome: Adam, 5 epochs"][:, 0] < 0.5)
    # Each beside walks as long as itself: a walk turns less often the longer it is.
    short, long = (rows[f"random walks, {epochs} epochs"][:, 0].mean() for epochs in (3, 5))
    assert long < short < rows["Fig. 9: small networks"][:, 0].min()
    # In Fig. 9's own network a palindrome does not turn, and a changing order no more than a walk.
    assert rows["palindrome: small networks"][:, 0].max() < 0.1
    assert rows["reshuffled: small networks"][:, 0].max() < rows["random walks, 3 epochs"][:, 0].max()
