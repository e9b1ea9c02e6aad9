import numpy as np
import pytest

from bridge import Mechanism, fit
from bridge.estimate.inputs import matrices, read
from tests.bridge.simulated import simulated, truth
from toymodel import InputError, LossMatrix

ONE = Mechanism(channels=1, nearness=False, pairs=False)


@pytest.fixture(scope="module")
def losses():
    rng = np.random.default_rng(5)
    return simulated(ONE, truth(ONE, rng, 0.3), rng, tasks=6, epochs=4, deviation=0.05)


def test_arrays_and_lists_are_fitted_like_the_matrix(losses):
    ref = fit(losses, ONE, starts=1, intervals_by="none")
    for given in (losses.values, losses.values.tolist()):
        comp = fit(given, ONE, starts=1, intervals_by="none")
        assert np.array_equal(ref.theta(), comp.theta())


def test_several_are_several(losses):
    values = losses.values
    assert [len(matrices(g)) for g in (losses, values, values.tolist())] == [1, 1, 1]
    assert [len(matrices(g)) for g in ([values, values], [losses, values], [values.tolist()] * 2)] == [
        2,
        2,
        2,
    ]
    assert matrices([]) == []
    with pytest.raises(InputError, match="shape \\(2, 25, 6\\)"):
        matrices(np.array([values, values]))


@pytest.mark.parametrize(
    ("given", "words"),
    [("runs/a", "fit\\(LossMatrix.load\\('runs/a'\\)\\)"), ({}, "given as a dict"), (3.0, "shape \\(\\)")],
)
def test_what_holds_no_losses_is_refused(given, words):
    with pytest.raises(InputError, match=words):
        fit(given)


def test_a_run_in_place_of_its_losses_is_told_so(losses):
    class Run:
        pass

    run = Run()
    run.losses = losses
    with pytest.raises(InputError, match="fit\\(run.losses\\)"):
        fit(run)


def test_nan_is_refused_or_masked(losses, tmp_path):
    values = np.array(losses.values)
    hidden = [(0, 1), (7, 2), (8, 2), (24, 5)]
    for place in hidden:
        values[place] = np.nan
    np.savetxt(tmp_path / "a.csv", values, delimiter=",", fmt="%.17g")
    with pytest.raises(InputError, match="nan of task 1 in row 0 \\(4 such entries\\)"):
        read(tmp_path / "a.csv")
    found, known = read(tmp_path / "a.csv", mask_nan=True)
    assert sorted(zip(*np.nonzero(~known), strict=True)) == hidden
    assert np.array_equal(found.values[known], losses.values[known])
    assert found.values[7, 2] == pytest.approx((2 * values[6, 2] + values[9, 2]) / 3)
    ref = fit(losses, ONE, observed=known, starts=1, intervals_by="none")
    comp = fit(found, ONE, observed=known, starts=1, intervals_by="none")
    assert np.allclose(ref.theta(), comp.theta())
    assert ref.r2 == pytest.approx(comp.r2)
    values[:, 4] = np.nan
    np.save(tmp_path / "b.npy", values)
    with pytest.raises(InputError, match="task 4 has no loss but NaN"):
        read(tmp_path / "b.npy", mask_nan=True)


@pytest.mark.parametrize("power", [-300, -160, -20, 100, 160, 300])
def test_the_unit_of_losses_plays_no_part(losses, power):
    unit = 2.0 ** round(power * np.log2(10))
    ref = fit(losses, ONE, starts=2)
    comp = fit(LossMatrix(losses.values * unit, losses.order), ONE, starts=2)
    assert np.array_equal(ref.theta(), comp.theta())
    assert [p.low for p in ref.parameters] == [p.low for p in comp.parameters]
    assert ref.r2 == pytest.approx(comp.r2, abs=1e-12)
    assert np.allclose(comp.scales() / unit, ref.scales(), rtol=1e-12)
    assert comp.deviation / unit == pytest.approx(ref.deviation)
