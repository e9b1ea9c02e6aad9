"""Small problems for every engine, and how near their results must be."""

import numpy as np
from hypothesis import strategies as st

from toymodel import (
    Tasks,
    random_tasks,
)

SCALAR = ["identity", "reflection", "affine", "per-task"]


AFFINE = [*SCALAR, "diagonal", "orthogonal", "linear"]


EVERY = [*AFFINE, "sinh-arcsinh", "leaky", "cubic", "softsign"]


@st.composite
def problems(draw, names=tuple(EVERY), orthogonal=False):
    T = draw(st.integers(2, 6))
    N, M = draw(st.integers(T if orthogonal else 2, 9)), draw(st.integers(1, 5))
    seed = draw(st.integers(0, 2**32 - 1))
    tasks = random_tasks(T, N, M, seed=seed)
    if orthogonal:
        # Exactly orthogonal: one entry per data point, each of its own length.
        x = np.zeros((T, N))
        x[np.arange(T), np.arange(T)] = draw(st.floats(0.5, 2)) * np.linspace(1, 1.5, T)
        tasks = Tasks(x, tasks.y, tasks.P, tasks.w)
    name = draw(st.sampled_from(names))
    if name == "softsign":
        tasks = Tasks(tasks.x, tasks.y, 0.05 * tasks.P, 0.1 * tasks.w)  # well inside its codomain
    E = draw(st.integers(1, 3))
    order = np.array([draw(st.permutations(range(T))) for _ in range(E)])
    a = draw(st.floats(0.01, 0.3))
    options = {
        # Correlated data have a lower limit than orthogonal ones; this keeps problems tame.
        "rate": a / np.trace(tasks.gram),
        "epochs": E,
        "inner_steps": draw(st.integers(1, 4)),
        "fast_rate": draw(st.floats(0.05, 1)),
        "order": order,
        "unstable": "allow",  # slopes of different signs can diverge at any rate
    }
    return tasks, name, options


def agree(comp, ref, tolerance=1e-9):
    assert np.abs(comp - ref).max() <= tolerance * np.abs(ref).max()
