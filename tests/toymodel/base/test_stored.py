"""What is stored is not believed: checksums, arrays, JSON."""

import io
import json
import struct
import zipfile

import numpy as np
import pytest

from toymodel import InputError, LossMatrix
from toymodel.base.arrays import load_arrays, save_arrays
from toymodel.base.json_file import read_json, write_json

RNG = np.random.default_rng(5)


def refused(action):
    """The one line with which an action is refused."""
    with pytest.raises(InputError) as refusal:
        action()
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def flips(data, number, seed=0):
    """The data with one bit flipped, at `number` places."""
    rng = np.random.default_rng(seed)
    for bit in rng.choice(8 * len(data), min(number, 8 * len(data)), replace=False):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << (bit % 8)
        yield bytes(changed)


def test_arrays_come_back(tmp_path):
    arrays = {"a": RNG.random((3, 4)), "n": np.arange(5), "words": np.array("text"), "none": np.empty((0, 3)),
              "f": np.asfortranarray(RNG.random((2, 3))), "c": np.array([1j])}  # fmt: skip
    for compress in (False, True):
        save_arrays(tmp_path / "x.npz", arrays, compress=compress)
        back = load_arrays(tmp_path / "x.npz")
        assert back.sealed
        assert list(back) == list(arrays)
        with np.load(tmp_path / "x.npz") as ref:  # anybody's NumPy reads it
            for name, array in arrays.items():
                np.testing.assert_array_equal(back[name], ref[name])
                np.testing.assert_array_equal(back[name], array)


@pytest.mark.parametrize("compress", [False, True])
def test_every_flipped_bit_of_an_archive_is_noticed(tmp_path, compress):
    file = tmp_path / "x.npz"
    arrays = {"losses": RNG.random((5, 2)), "order": np.array([[0, 1], [1, 0]])}
    save_arrays(file, arrays, compress=compress)
    for damaged in flips(file.read_bytes(), 400):
        file.write_bytes(damaged)
        try:
            back = load_arrays(file)
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017
        else:
            assert list(back) == list(arrays)
            for name, array in arrays.items():
                np.testing.assert_array_equal(back[name], array)


def test_a_loss_matrix_without_checksum_never_loads_as_another(tmp_path):
    """Older files: a flip in the names of an archive must not turn an order into the cyclic one."""
    ref = LossMatrix(RNG.random((7, 3)), np.array([[2, 0, 1], [1, 0, 2]]), {"a": 1})
    file = tmp_path / "x.npz"
    np.savez(file, losses=ref.values, order=ref.order, meta=np.array(json.dumps(ref.meta)))
    for damaged in flips(file.read_bytes(), 1000):
        file.write_bytes(damaged)
        try:
            back = LossMatrix.load(file)
        except InputError:
            continue
        np.testing.assert_array_equal(back.values, ref.values)
        np.testing.assert_array_equal(back.order, ref.order)


def raw(shape="(2, 2)", descr="'<f8'", body=bytes(32), version=b"\x01\x00"):
    """An .npy file with whatever header."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode("latin1")
    return b"\x93NUMPY" + version + struct.pack("<H", len(header)) + header + body


def archive(**members):
    """A zip archive of raw members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as out:
        for name, data in members.items():
            out.writestr(f"{name}.npy", data)
    return file.getvalue()


def encrypted():
    data = bytearray(archive(losses=raw()))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= 1
    return bytes(data)


def repeated():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as out:
        out.writestr("losses.npy", raw())
        out.writestr("losseS.npy", raw())
    return file.getvalue().replace(b"losseS", b"losses")


MALFORMED = {
    "more than there is": raw("(1000000000, 1000)"),
    "more than there is, in an archive": archive(losses=raw("(1000000000, 1000)")),
    "no bytes": raw("(2, 2)", "'|V0'", b""),
    "records": raw("(1,)", "[('a', '<f8')]", bytes(8)),
    "objects": raw("(1,)", "'|O'", bytes(8)),
    "negative": raw("(-2, -2)"),
    "bytes left over": raw(body=bytes(40)),
    "an empty member": archive(losses=b""),
    "an empty archive": archive(),
    "no header": raw()[:10],
    "code in the header": raw("__import__('os')"),
    "version 9": raw(version=b"\x09\x00"),
    "encrypted": encrypted(),
    "twice the same name": repeated(),
    "empty": b"",
    "text": b"1,2\n3,4\n",
    "meta that is no JSON": archive(
        losses=raw("(3, 2)", body=bytes(48)), order=raw("(1, 2)", "'<i8'", struct.pack("<2q", 0, 1)),
        meta=raw("()", "'<U1'", "x".encode("utf-32-le"))),
    "meta that is no object": archive(
        losses=raw("(3, 2)", body=bytes(48)), order=raw("(1, 2)", "'<i8'", struct.pack("<2q", 0, 1)),
        meta=raw("()", "'<U1'", "1".encode("utf-32-le"))),
    "complex losses": archive(losses=raw("(3, 2)", "'<c16'", bytes(96))),
    "losses as text": archive(losses=raw("(3, 2)", "'<U1'", bytes(24))),
    "no order": archive(
        losses=raw("(3, 2)", body=bytes(48)), meta=raw("()", "'<U2'", "{}".encode("utf-32-le"))),
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_loss_matrices(tmp_path, name):
    (tmp_path / "x.npz").write_bytes(MALFORMED[name])
    refused(lambda: LossMatrix.load(tmp_path / "x.npz"))


def test_what_is_no_array_of_real_numbers():
    for values in ([[1, 2], [3]], "text", None, [["a", "b"]] * 3, np.ones((3, 2)) * 1j, {}, [[None, 1]] * 3):
        refused(lambda values=values: LossMatrix.from_values(values))
        refused(lambda values=values: LossMatrix(values, np.array([[0, 1]])))
    for order in ("text", [[0.5, 1]], [[0], [1, 2]], None):
        refused(lambda order=order: LossMatrix(np.ones((3, 2)), order))


def test_a_loss_matrix_is_saved_under_a_name_that_says_so(tmp_path):
    line = refused(lambda: LossMatrix.from_values(np.ones((3, 2))).save(tmp_path / "x.csv"))
    assert line.endswith("x.npz'")
    assert not list(tmp_path.iterdir())


def test_json_comes_back_and_every_flip_is_noticed(tmp_path):
    file, values = tmp_path / "x.json", {"steps": 10, "lr": 1e-3, "names": ["a", "\u00e9"], "none": None}
    write_json(file, values)
    assert read_json(file, fix="") == values
    seen = 0
    for damaged in flips(file.read_bytes(), 600):
        file.write_bytes(damaged)
        try:
            back = read_json(file, fix="remove it")
        except InputError:
            seen += 1
        else:
            back.pop("checksum", None)
            assert {name: back.get(name) for name in values} == values
    assert seen > 200


@pytest.mark.parametrize(
    "text", ["", "[1]", "1", "null", "{", '{"a": 1}x', "[" * 100_000, '{"a":' * 100_000, "\ud800", "9" * 5000]
)
def test_what_is_no_json_object(tmp_path, text):
    (tmp_path / "x.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    assert refused(lambda: read_json(tmp_path / "x.json", fix="remove it")).endswith("Fix: remove it")
    refused(lambda: read_json(tmp_path / "none.json", fix="remove it"))


def test_json_without_a_checksum_is_read(tmp_path):
    (tmp_path / "x.json").write_text('{"a": 1}')
    assert read_json(tmp_path / "x.json", fix="") == {"a": 1}
