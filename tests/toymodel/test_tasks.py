"""Tasks and their noise are checked."""

import numpy as np
import pytest

from toymodel import (
    InputError,
    Tasks,
    cyclic_order,
    episode_noise,
    expected_losses,
    moments_after,
    random_tasks,
)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros((1, 3)), "at least 2 tasks"),
        (np.zeros((2, 3)), "length 0"),
        (np.full((2, 3), np.inf), "NaN or infinite"),
        (np.ones((2, 4)), "P of shape"),
        (np.ones((2, 3), complex), "dtype"),
        (np.array([["a", "b", "c"]] * 2), "dtype"),
    ],
)
def test_bad_tasks(x, words):
    with pytest.raises(InputError, match=words):
        Tasks(x, np.zeros((len(x), 2)), np.ones((2, 3)), np.zeros(2))


def test_other_bad_numbers():
    for bad in (lambda: moments_after(np.eye(3), 0.1, 0.9, -1),
                lambda: moments_after(np.ones(3), 0.1, 0.9, 1),
                lambda: expected_losses(np.ones(3), dimension=3, rate=0.1, epochs=1),
                lambda: expected_losses(np.eye(3), dimension=3, rate=0.1, epochs=1, order=[[0, 1, 5]]),
                lambda: episode_noise(random_tasks(3, 4), cyclic_order(3, 1), "blur"),
                lambda: episode_noise(random_tasks(3, 4), cyclic_order(3, 1), "mask", 1.5),
                lambda: random_tasks(1), lambda: random_tasks(3, 0),
                lambda: random_tasks(3, target="x")):  # fmt: skip
        with pytest.raises(InputError):
            bad()
