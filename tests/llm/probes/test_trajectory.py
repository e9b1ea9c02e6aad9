"""States of weights on the disk: products by slices, residuals and components from them, damage."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from llm.probes import (
    Trajectory,
    principal_components,
    window_residuals,
)
from tests import oracles
from toymodel import InputError


@given(
    arrays(np.float32, st.tuples(st.integers(2, 9), st.integers(1, 40)), elements=st.floats(-8, 8, width=32)),
    st.integers(1, 400),
)
def test_gram_of_files_by_slices(tmp_path_factory, weights, budget):
    files = Trajectory(tmp_path_factory.mktemp("states"), weights.shape[1])
    for state, row in enumerate(weights):
        half = len(row) // 2
        files.write(state, [torch.from_numpy(row[:half].copy()), torch.from_numpy(row[half:].copy())])
    n, exact = len(weights), weights.astype(float)
    np.testing.assert_allclose(files.gram(range(n), budget=budget), exact @ exact.T, atol=1e-9)
    shifted = exact - exact[0]
    np.testing.assert_allclose(
        files.gram(range(n), origin=0, budget=budget), shifted @ shifted.T, rtol=1e-12, atol=1e-9
    )


@given(
    arrays(np.float64, st.tuples(st.integers(2, 14), st.integers(1, 5)), elements=st.floats(-8, 8)),
    st.integers(1, 20),
)
def test_window_residuals_from_gram(weights, window):
    ref = oracles.window_residuals(weights, window)
    shifted = weights - weights[0]
    comp = window_residuals(shifted @ shifted.T, window)
    np.testing.assert_allclose(comp, ref @ ref.T, atol=1e-9)


@given(
    arrays(np.float64, st.tuples(st.integers(4, 12), st.integers(3, 8)), elements=st.floats(-8, 8)),
)
def test_principal_components_from_gram(weights):
    centred = weights - weights.mean(0)
    values = np.linalg.svd(centred, compute_uv=False)
    coordinates, explained = principal_components(weights @ weights.T)
    # The components reproduce as much of the distances as the best three can.
    np.testing.assert_allclose((coordinates**2).sum(0), values[:3] ** 2, atol=1e-7)
    np.testing.assert_allclose(explained.sum() * (values**2).sum(), (values[:3] ** 2).sum(), atol=1e-7)


@given(arrays(np.float64, st.tuples(st.integers(4, 12), st.just(3)), elements=st.floats(-8, 8)))
def test_three_components_are_all_there_is_in_three_dimensions(weights):
    centred = weights - weights.mean(0)
    assume(np.linalg.svd(centred, compute_uv=False)[0] > 1e-3)
    coordinates, _ = principal_components(weights @ weights.T)
    np.testing.assert_allclose(coordinates @ coordinates.T, centred @ centred.T, atol=1e-7)


def test_small_differences_of_large_weights(tmp_path):
    # What residuals are made of: weights of size 1 that move by 1e-6 (here along known directions).
    rng = np.random.default_rng(0)
    base, move = rng.normal(size=4000), rng.normal(size=(6, 4000)) * 1e-6
    weights = (base + move).astype(np.float32)
    exact = weights.astype(float) - weights[0].astype(float)
    files = Trajectory(tmp_path, 4000)
    for state, row in enumerate(weights):
        files.write(state, [torch.from_numpy(row)])
    comp = files.gram(range(6), origin=0)[1:, 1:]
    np.testing.assert_allclose(comp, (exact @ exact.T)[1:, 1:], rtol=1e-10)


def test_a_disk_that_is_too_small(tmp_path, monkeypatch):
    files = Trajectory(tmp_path / "run" / "states", 1000)
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 8031})())
    with pytest.raises(InputError, match="GB free"):
        files.check_disk(2)
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 8032})())
    files.check_disk(2)
    files.write(0, [torch.zeros(1000)])
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 4016})())
    files.check_disk(2)  # what is there need not be written again


def test_a_damaged_trajectory(tmp_path):
    files = Trajectory(tmp_path, 10)
    files.write(0, [torch.zeros(10)])
    files.sync()
    files.check(1)
    with pytest.raises(InputError, match="state 1 .* missing or damaged"):
        files.check(2)
    (tmp_path / "000000.f32").write_bytes(b"\0" * 12)
    with pytest.raises(InputError, match="state 0 .* missing or damaged"):
        files.check(1)
    with pytest.raises(InputError, match="ends early"):
        files.gram([0])
