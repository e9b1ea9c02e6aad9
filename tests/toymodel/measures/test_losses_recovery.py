import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests import oracles
from toymodel import (
    InputError,
    LossMatrix,
    cyclic_order,
    intervals,
    recovery_score,
    recovery_scores,
    shift_averaged,
    visits,
)
from toymodel.base.files import atomic_write


@st.composite
def matrices(draw):
    T, E = draw(st.integers(2, 6)), draw(st.integers(2, 4))
    values = draw(arrays(float, (1 + E * T, T), elements=st.floats(0, 10)))
    order = np.array([draw(st.permutations(range(T))) for _ in range(E)])
    return LossMatrix(values, order, {"note": "é"})


@given(matrices())
def test_round_trip_and_scores_against_oracle(tmp_path_factory, losses):
    path = tmp_path_factory.mktemp("m") / "a.npz"
    losses.save(path)
    back = LossMatrix.load(path)
    assert np.array_equal(back.values, losses.values)
    assert np.array_equal(back.order, losses.order)
    assert back.meta == {"note": "é"}
    for n in range(1, losses.epochs):
        after, peak, before = oracles.recovery_parts(losses.values, losses.order, n)
        score = recovery_score(losses, n)
        assert bool(score) == bool(np.isfinite(score.value))
        if score:
            assert score.value == pytest.approx((peak - before) / (peak - after), rel=1e-9, abs=1e-12)
            assert 0 <= score.value <= 1 + 1e-12
        else:
            assert score.reason
            sunk = peak <= 64 * np.finfo(float).eps * losses.values[0].max()
            assert sunk or peak - after <= 1e-13 * peak or before < after


def test_falling_loss_has_no_score():
    T = 4
    values = np.repeat(np.linspace(9, 1, 1 + 2 * T)[:, None], T, axis=1)
    score = recovery_scores(LossMatrix.from_values(values))[0]
    assert np.isnan(score.value)
    assert "only falls" in score.reason


def test_known_score_and_shift():
    values = np.zeros((9, 2))
    values[:, 0] = [5, 1, 3, 3, 3, 3, 3, 3, 3]
    values[:, 1] = [6, 6, 1, 4, 2, 2, 2, 2, 2]
    losses = LossMatrix(values, np.array([[0, 1]] * 4))
    part = intervals(losses, 1)
    assert part.peak.tolist() == [3, 4]
    assert part.before.tolist() == [3, 4]
    assert recovery_score(losses, 1).value == 0
    curve = shift_averaged(losses)
    assert curve.mean[0] == pytest.approx((5 + 6) / 2)
    assert curve.mean[1] == 1
    assert curve.count.tolist() == [2] * 8 + [1]


def test_reads_the_other_forms(tmp_path):
    values = np.arange(10.0).reshape(5, 2)
    np.savez(tmp_path / "x_results.npz", eval_losses_ckpt=values, completed_steps=3)
    np.save(tmp_path / "x.npy", values)
    for name in ("x_results.npz", "x.npy"):
        losses = LossMatrix.load(tmp_path / name)
        assert np.array_equal(losses.values, values)
        assert np.array_equal(losses.order, cyclic_order(2, 2))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros((6, 2)), "lacks the row before training"),
        (np.zeros((3, 1)), "at least 2 tasks"),
        (np.full((3, 2), np.nan), "finite"),
        (np.zeros(5), "two dimensions"),
    ],
)
def test_bad_matrices(values, words):
    with pytest.raises(InputError) as error:
        LossMatrix.from_values(values)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_damaged_files(tmp_path):
    good = tmp_path / "good.npz"
    LossMatrix.from_values(np.zeros((3, 2))).save(good)
    bad = tmp_path / "bad.npz"
    bad.write_bytes(good.read_bytes()[:200])
    for path, words in (
        (bad, "cannot be read"),
        (tmp_path / "none.npz", "no file"),
        (tmp_path, "no losses.npz"),
    ):
        with pytest.raises(InputError, match=words):
            LossMatrix.load(path)
    np.save(tmp_path / "pickled.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(InputError, match="cannot be read"):
        LossMatrix.load(tmp_path / "pickled.npy")


def test_atomic_write_leaves_the_old_file(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("old")

    def fail():
        with atomic_write(file, "w") as out:
            out.write("new")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        fail()
    assert file.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_measures_of_what_is_no_loss_matrix():
    from types import SimpleNamespace

    from toymodel.measures.lag import lag_profile
    from toymodel.measures.online import online_loss

    run = SimpleNamespace(losses=LossMatrix.from_values(np.ones((3, 2))))
    for wrong, fix in (([[1, 2]], "from_values"), ("runs/x", "LossMatrix.load"), (run, r"\.losses")):
        for measure in (recovery_scores, shift_averaged, visits, lag_profile, online_loss):
            with pytest.raises(InputError, match=rf"expected a LossMatrix\. Fix: .*{fix}"):
                measure(wrong)
