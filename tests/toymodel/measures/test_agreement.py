import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toymodel.measures.agreement import pooled_r_squared, r_squared


@given(seed=st.integers(0, 2**32 - 1), power=st.integers(-150, 150))
def test_r_squared_is_the_correlation_squared_of_a_regression_in_any_unit(seed, power):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=30)
    y = 2 * x + rng.normal(size=30)
    guess = np.polyval(np.polyfit(x, y, 1), x)
    unit = 10.0**power
    assert r_squared(unit * y, unit * guess) == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2, abs=1e-9)


def test_pools_are_about_the_mean_of_each():
    a, b = np.array([1.0, 2.0, 3.0]), np.array([11.0, 12.0, 13.0])
    assert pooled_r_squared([(a, a + 0.5), (b, b)]) == pytest.approx(1 - 3 * 0.25 / 4)
    assert r_squared(a, a) == 1.0
    assert r_squared(a, np.full(3, 2.0)) == 0.0


def test_constant_truth_has_no_share_to_explain():
    assert r_squared(np.ones(3), np.zeros(3)) == -np.inf
    assert np.isnan(r_squared(np.ones(3), np.ones(3)))
