"""Normal numbers from a counter, against whole numbers and float64."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from llm.networks.normals import normals
from tests.oracles import counted_normals, philox

WORD = st.integers(0, 2**32 - 1)


def draw(length, key, block=0, scale=1.0):
    out = np.full(length, np.nan, dtype=np.float32)
    normals()(out, np.array(key, dtype=np.uint32), block, scale)
    return out


def test_the_words_are_the_published_ones():
    # The first two test vectors that come with the paper's library, Random123.
    assert philox((0, 0, 0, 0), (0, 0)) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
    ones = 2**32 - 1
    assert philox((ones,) * 4, (ones,) * 2) == (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)


@given(st.integers(0, 70), st.tuples(WORD, WORD), WORD)
def test_numbers_are_those_of_the_oracle(length, key, block):
    np.testing.assert_allclose(draw(length, key, block), counted_normals(length, key, block), atol=4e-6)


def test_they_are_normal():
    values = draw(1 << 20, (5, 6), 7)
    assert stats.kstest(values, "norm").pvalue > 1e-3
    assert abs(stats.kurtosis(values)) < 5 * np.sqrt(24 / len(values))
    # Far out too: as many as there should be, by a Poisson law.
    for far in (3.5, 4.5):
        expected = len(values) * 2 * stats.norm.sf(far)
        assert abs((np.abs(values) > far).sum() - expected) < 5 * np.sqrt(expected)
    quarters = values.reshape(4, -1)
    assert np.abs(np.corrcoef(quarters) - np.eye(4)).max() < 5 / np.sqrt(quarters.shape[1])
    assert np.abs(np.corrcoef(quarters**2) - np.eye(4)).max() < 5 / np.sqrt(quarters.shape[1])


@pytest.mark.parametrize("other", [((5, 6), 8), ((5, 7), 7), ((6, 6), 7)])
def test_key_and_block_are_streams_of_their_own(other):
    first, second = draw(1 << 16, (5, 6), 7), draw(1 << 16, *other)
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / 2**8
    assert np.array_equal(draw(1 << 16, (5, 6), 7), first)
    assert np.array_equal(draw(1 << 16, (5, 6), 7, 0.5), first * np.float32(0.5))
