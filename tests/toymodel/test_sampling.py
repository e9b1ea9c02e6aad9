"""Moments drawn in distribution, in place of data and weights."""

import numpy as np
import pytest

from toymodel import (
    InputError,
    random_gram,
    sample_moments,
)


@pytest.mark.parametrize(("M", "uniform"), [(3, False), (5, True), (40, False)])
def test_drawn_moments_have_the_distribution_of_simulated_ones(M, uniform):
    rng = np.random.default_rng(0)
    T, N, s, draws = 4, 6, np.array([1.0, -2.0, 0.5, 1.0]), 4000
    x = rng.uniform(-1, 1, (T, N))
    variances = {"variance_p": 0.3, "variance_y": 0.2, "variance_w": 1 / 3}
    comp = np.array([
        sample_moments(x @ x.T, M, slopes=s, seed=rng, uniform_w=uniform, **variances) for _ in range(draws)
    ])  # fmt: skip
    ref = np.empty_like(comp)
    for n in range(draws):
        P, y = rng.normal(0, 0.3**0.5, (M, N)), rng.normal(0, 0.2**0.5, (T, M))
        w = rng.uniform(-1, 1, M) if uniform else rng.normal(0, 3**-0.5, M)
        u = np.vstack([(x @ P.T - y) / s[:, None], w])
        ref[n] = u @ u.T
    for power in (1, 2):  # means and second moments, entry by entry
        one, two = comp**power, ref**power
        error = np.sqrt((one.var(0) + two.var(0)) / draws)
        assert (np.abs(one.mean(0) - two.mean(0)) / error).max() < 4.5  # the worst of 25 entries
    product = comp[:, 0, 1] * comp[:, 2, 4], ref[:, 0, 1] * ref[:, 2, 4]
    error = np.sqrt(sum(p.var() for p in product) / draws)
    assert abs(product[0].mean() - product[1].mean()) < 4 * error


def test_drawing_from_singular_data_and_the_papers_gram():
    assert np.linalg.matrix_rank(random_gram(5, 3, seed=1)) == 3
    S = sample_moments(random_gram(5, 3, seed=1), 50, variance_p=1.0, variance_w=1.0)
    assert np.linalg.matrix_rank(S, tol=1e-6) == 4
    for gram, change in ((-np.eye(3), {}), (np.eye(3), {"variance_w": -1.0}), (np.ones(3), {})):
        with pytest.raises(InputError):
            sample_moments(gram, 5, **({"variance_p": 1.0, "variance_w": 1.0} | change))
