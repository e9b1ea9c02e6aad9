"""A machine without xxhash writes what others read, and reads what it can check."""

import importlib.util
import json

import numpy as np
import pytest

from toymodel.base import checksum as sums
from toymodel.base.arrays import load_arrays, save_arrays
from toymodel.base.checksum import Damaged, agrees, checksum, ends_in_digest, is_sealed, seal
from toymodel.base.json_file import parse_object, sealed_object

FIND = importlib.util.find_spec


@pytest.fixture
def without_xxhash(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "xxhash" else FIND(name))
    sums._name.cache_clear()
    yield
    sums._name.cache_clear()


def test_both_kinds_are_checked_wherever_they_were_made(tmp_path, without_xxhash, monkeypatch):
    values, there = {"a": 1, "b": [2.5]}, tmp_path / "there.npz"
    save_arrays(there, {"x": np.arange(5.0)})
    text, said = sealed_object(values), checksum(["what", b"else"])
    assert said.startswith("blake2-b:")
    monkeypatch.setattr(importlib.util, "find_spec", FIND)
    sums._name.cache_clear()
    here = tmp_path / "here.npz"
    save_arrays(here, {"x": np.arange(5.0)})
    assert checksum(["what", b"else"]).startswith("xxh3-128:")
    assert agrees(said, ["what", b"else"])
    assert not agrees(said, ["what", b"else!"])
    assert parse_object(json.dumps(text)) == values
    for file in (here, there):
        np.testing.assert_array_equal(load_arrays(file)["x"], np.arange(5.0))


@pytest.mark.parametrize("place", [-3, -36, -40])
def test_a_changed_seal_is_damage(tmp_path, place):
    """In the digest, and in the name of the algorithm."""
    file = tmp_path / "sealed"
    file.write_bytes(b"content")
    seal(file)
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)
    with file.open("rb") as opened, pytest.raises(Damaged):
        is_sealed(opened)


def test_sums_that_are_none():
    assert not agrees(None, ["x"])
    assert not agrees("md5:00", ["x"])
    assert not agrees(7, ["x"])


def test_raw_numbers_end_in_this_machines_digest(tmp_path, without_xxhash):
    file = tmp_path / "raw"
    state = sums.hasher()
    state.update(b"12345678")
    file.write_bytes(b"12345678" + state.digest())
    assert ends_in_digest(file)
    file.write_bytes(b"12345679" + state.digest())
    assert not ends_in_digest(file)
