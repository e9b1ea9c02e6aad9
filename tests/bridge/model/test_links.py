import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.links import LINKS
from bridge.model.mechanism import Mechanism

X = np.array([1e-8, 0.01, 0.3, 1.0, 1.7])


@pytest.mark.parametrize("name", LINKS)
@given(data=st.data())
def test_derivatives_are_those_of_the_value(name, data):
    link = LINKS[name]
    low, high = (link.term.low, link.term.high) if link.term else (0.0, 1.0)
    theta = data.draw(st.floats(low, high))
    at = link.at(X, np.exp(theta))
    up, down = (link.at(X * (1 + h), np.exp(theta)).value for h in (1e-6, -1e-6))
    by_x = (up - down) / 2e-6
    assert np.allclose(at.by_distance * X, by_x, rtol=1e-6, atol=1e-8)
    up, down = (link.at(X, np.exp(theta + h)).value for h in (1e-6, -1e-6))
    if link.term is None:
        assert np.array_equal(up, down)
    assert np.allclose(at.by_parameter, (up - down) / 2e-6, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", LINKS)
@given(data=st.data())
def test_a_link_starts_at_one_and_has_a_finite_square_up_to_its_farthest(name, data):
    link = LINKS[name]
    parameter = np.exp(data.draw(st.floats(link.term.low, link.term.high))) if link.term else 1.0
    at = link.at(np.array([1.0, link.farthest(parameter)]), parameter)
    assert at.value[0] == pytest.approx(1.0)
    for part in at:
        assert np.isfinite(np.square(part)).all()


def test_the_layout_finds_parameters_by_what_they_are():
    form = Mechanism(channels=2, drift="epoch", link="power", nearness=True, pairs=False)
    layout, theta = form.layout, np.arange(len(form.terms), dtype=float)
    for place, term in enumerate(form.terms):
        assert layout.place(term.kind, term.channel) == place
        assert layout.value(theta, term.kind, term.channel) == place
    assert layout.place("weight", 1) is None
    assert layout.value(theta, "weight", 1) == 0.0
    assert layout.place("reach", 2) == layout.place("reach") == len(layout) - 1
    assert len(set(form.names)) == len(form.names)
