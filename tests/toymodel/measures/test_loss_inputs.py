"""What a user may give as losses, and what is said of what he may not."""

import re

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from toymodel import InputError, LossMatrix
from toymodel.measures.loss_checks import check_shape
from toymodel.measures.loss_table import read_table

WHOLE = np.random.default_rng(0).uniform(1, 9, (21, 5))  # 4 epochs of 5 tasks


def test_settings_that_are_not_those_of_the_losses_are_said(tmp_path):
    losses = LossMatrix.from_values(WHOLE, meta={"config": {"lr": 0.01, "steps": 1}})
    losses.save(tmp_path / "losses.npz")
    file = tmp_path / "config.json"
    file.write_text('{"lr": 0.01, "steps": 1, "of a later version": 3}')
    np.testing.assert_array_equal(LossMatrix.load(tmp_path).values, WHOLE)
    for text, words in (('{"lr": 0.02, "steps": 1}', "its lr is 0.01 by losses.npz and 0.02 by config.json"),
                        ('{"steps": null}', "its steps is 1 by losses.npz and null"),
                        ("[" * 100_000, "nested too deep"), ("{", "cannot be read")):  # fmt: skip
        file.write_text(text)
        with pytest.raises(InputError, match=words) as error:
            LossMatrix.load(tmp_path)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (WHOLE[1:], "20 rows for 5 tasks (columns) lacks the row before training; expected 21 rows"),
        (
            WHOLE.T,
            "5 rows for 21 tasks (columns) is transposed, or was evaluated once an epoch; expected a row for "
            "every evaluation: 21 rows if there are 5 tasks, 1 + E*21 if 21",
        ),
        (WHOLE[1:].T, "is transposed, and lacks the losses before training"),
        (WHOLE[:18], "3 whole epochs and 2 of the 5 episodes of another; expected 1 + E*T rows: 16 or 21"),
        (WHOLE[:3], "does not hold one epoch"),
        (WHOLE + 0j, "type complex128; expected real numbers. Fix: pass values.real"),
        (WHOLE > 4, "type bool; expected real numbers"),
        (WHOLE.astype(str), "expected real numbers. Fix: pass values.astype"),
        (np.full(WHOLE.shape, "x"), "expected real numbers. Fix: pass numbers"),
        (WHOLE.astype(str), "type <U"),
        ([[1.0, 2.0], [3.0]], "rows of one length"),
        (None, "given as a NoneType"),
    ],
    ids=str,
)
def test_what_cannot_be_losses_is_refused_with_the_fix_that_is_right(values, words):
    with pytest.raises(InputError, match=re.escape(words)) as caught:
        LossMatrix.from_values(values)
    assert "\n" not in str(caught.value)


@given(st.integers(2, 40), st.integers(2, 40))
def test_no_advice_drops_rows(rows, tasks):
    assume(rows < 1 + tasks or (rows - 1) % tasks)
    with pytest.raises(InputError) as caught:
        check_shape(np.zeros((rows, tasks)))
    assert "[:" not in caught.value.fix


@given(st.integers(1, 40), st.integers(2, 40))
def test_whole_epochs_and_the_row_before_are_a_loss_matrix(epochs, tasks):
    check_shape(np.zeros((1 + epochs * tasks, tasks)))


def test_nan_and_infinity_are_named_by_their_place():
    for value, fix in ((np.nan, "observed=~np.isnan(values)"), (np.inf, "lower lr")):
        bad = WHOLE.copy()
        bad[7, 3] = value
        with pytest.raises(InputError, match=f"{value} of task 3 in row 7") as caught:
            LossMatrix.from_values(bad)
        assert fix in caught.value.fix


def test_lists_are_arrays():
    assert np.array_equal(LossMatrix.from_values(WHOLE.tolist()).values, WHOLE)


@pytest.mark.parametrize(
    ("delimiter", "head"), [(",", ""), (";", "a;b;c;d;e"), ("\t", "1st\t2nd\t3rd\t4th\t5th")]
)
def test_tables_of_text_are_read(tmp_path, delimiter, head):
    np.savetxt(tmp_path / "a.csv", WHOLE, delimiter=delimiter, header=head, comments="", fmt="%.17g")
    assert np.array_equal(LossMatrix.load(tmp_path / "a.csv").values, WHOLE)


def test_a_column_that_counts_rows_is_no_task(tmp_path):
    lines = [",a,b,c,d,e", *(f"{n}," + ",".join(map(repr, map(float, row))) for n, row in enumerate(WHOLE))]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n\n", encoding="utf-8-sig")
    assert np.array_equal(LossMatrix.load(tmp_path / "a.csv").values, WHOLE)


@pytest.mark.parametrize("corner", [True, False])
def test_names_that_count_the_columns_are_no_losses(tmp_path, corner):
    lines = [",0,1,2,3,4" if corner else "0,1,2,3,4"]
    lines += [
        (f"{n}," if corner else "") + ",".join(map(repr, map(float, row))) for n, row in enumerate(WHOLE)
    ]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    assert np.array_equal(LossMatrix.load(tmp_path / "a.csv").values, WHOLE)


# 20 is a multiple of 5 too, so that by its shape each of these could be a matrix of 5 tasks.
@pytest.mark.parametrize(
    ("head", "counted"),
    [("step,a,b,c,d", np.arange(21)), ("", np.arange(21)), ("i,a,b,c,d", np.arange(1, 22)),
     ("epoch,a,b,c,d", np.ceil(np.arange(21) / 4))],
)  # fmt: skip
@pytest.mark.parametrize("last", [True, False])
def test_a_column_that_counts_is_never_taken_for_losses(tmp_path, head, counted, last):
    columns = [WHOLE[:, :4], counted[:, None]] if last else [counted[:, None], WHOLE[:, :4]]
    head = ",".join(head.split(",")[::-1]) if last else head
    np.savetxt(tmp_path / "a.csv", np.hstack(columns), delimiter=",", header=head, comments="")
    with pytest.raises(InputError, match=f"column {5 if last else 1} .*counts from .*leave that column out"):
        read_table(tmp_path / "a.csv")


def test_decimal_commas_between_commas_are_refused(tmp_path):
    text = "\n".join(",".join(f"{loss:.3f}".replace(".", ",") for loss in row) for row in WHOLE)
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InputError, match="commas between cells and, it seems, within numbers"):
        read_table(tmp_path / "a.csv")


@pytest.mark.parametrize("name", ["a.txt", "a.json"])
def test_text_of_another_kind_is_not_called_damaged(tmp_path, name):
    np.savetxt(tmp_path / name, WHOLE)
    with pytest.raises(
        InputError, match=r"expected a run folder, .npz, .npy or .csv. Fix: np.savetxt\('a.csv'"
    ):
        LossMatrix.load(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,2\n3,x\n", "'x' in line 2, column 2"),
        ("1,2\n3\n", "line 2 of .* has 1 cells; expected 2"),
        ("", "no row of numbers"),
        ("a,b\n", "no row of numbers"),
    ],
)
def test_a_table_that_is_none_is_refused_by_its_place(tmp_path, text, words):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        read_table(tmp_path / "a.csv")


def test_an_empty_cell_is_a_loss_that_was_not_taken(tmp_path):
    (tmp_path / "a.csv").write_text("1,2\n,3\nnan,5\n")
    assert np.array_equal(np.isnan(read_table(tmp_path / "a.csv")), [[0, 0], [1, 0], [1, 0]])


def test_an_archive_of_one_array_is_a_matrix_and_of_several_is_not(tmp_path):
    np.savez(tmp_path / "one.npz", WHOLE)
    assert np.array_equal(LossMatrix.load(tmp_path / "one.npz").values, WHOLE)
    np.savez(tmp_path / "two.npz", WHOLE, WHOLE)
    with pytest.raises(InputError, match="arr_0, arr_1.*losses=values"):
        LossMatrix.load(tmp_path / "two.npz")


def test_what_lies_under_a_mask_is_no_loss():
    masked = np.ma.masked_array(np.ones((5, 2)), np.eye(5, 2, dtype=bool))
    with pytest.raises(InputError, match=r"2 masked entries.*observed=~values.mask"):
        LossMatrix.from_values(masked)
    assert LossMatrix.from_values(np.ma.masked_array(np.ones((5, 2)))).tasks == 2


def test_tensors_are_taken_or_told_how():
    torch = pytest.importorskip("torch")
    plain = torch.rand(5, 2)
    assert np.array_equal(LossMatrix.from_values(plain).values, plain.numpy())
    for other in (plain.bfloat16(), plain.requires_grad_()):
        with pytest.raises(InputError, match="given as a Tensor") as error:
            LossMatrix.from_values(other)
        values = other
        assert error.value.fix == "pass values.detach().cpu().double().numpy()"
        assert LossMatrix.from_values(values.detach().cpu().double().numpy()).tasks == 2
