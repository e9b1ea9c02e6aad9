"""A simulation: its stability is announced, its input checked."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import toymodel.maps as maps
from toymodel import (
    InputError,
    StabilityWarning,
    Tasks,
    random_tasks,
    simulate,
)


def test_rate_past_the_limit_is_announced():
    tasks = Tasks(np.eye(5), np.zeros((5, 3)), np.ones((3, 5)), np.zeros(3))
    limit = 5 / 4
    assert "stable" in simulate(tasks, "identity", rate=limit * 0.99, epochs=1).status
    with pytest.warns(StabilityWarning, match="past the stability limit"):
        simulate(tasks, "identity", rate=limit * 1.01, epochs=1, unstable="warn")
    with pytest.raises(InputError, match=r"past the stability limit of 1\.25"):
        simulate(tasks, "identity", rate=limit * 1.01, epochs=1)
    assert "past" in simulate(tasks, "identity", rate=limit * 1.01, epochs=1, unstable="allow").status


def test_the_cheapest_engine_is_chosen():
    wide, narrow = random_tasks(3, 5, 40), random_tasks(30, 5, 2)
    assert simulate(wide, "reflection", rate=1e-3, epochs=1).engine == "moment"
    assert simulate(narrow, "reflection", rate=1e-3, epochs=1).engine == "projected"
    assert simulate(wide, "linear", rate=1e-3, epochs=1).engine == "projected"
    assert simulate(wide, "identity", rate=1e-3, epochs=1, record="q").engine == "projected"
    assert simulate(wide, "identity", rate=1e-3, epochs=1, record="P").engine == "direct"
    assert "condition number of the map 10" in simulate(wide, "linear", rate=1e-3, epochs=1).status


@settings(max_examples=20)
@given(st.integers(3, 8), st.integers(0, 10**6), st.floats(0.5, 1))
def test_the_limit_named_is_where_runs_begin_to_grow(T, seed, eta):
    tasks = random_tasks(T, 20, 2, seed=seed)
    with pytest.raises(InputError) as error:
        simulate(tasks, "identity", rate=3.0, epochs=1, fast_rate=eta)
    limit = float(str(error.value).split("limit of ")[1].split()[0])
    assert "stable" in simulate(tasks, "identity", rate=0.99 * limit, epochs=1, fast_rate=eta).status
    with pytest.raises(InputError):
        simulate(tasks, "identity", rate=1.01 * limit, epochs=1, fast_rate=eta)


def test_the_papers_rate_for_fig_10a_diverges_and_a_tenth_of_it_does_not():
    tasks = random_tasks(25, 1000, 1000)
    with pytest.raises(InputError, match="past the stability limit"):
        simulate(tasks, "identity", rate=0.01, epochs=7)
    assert simulate(tasks, "identity", rate=0.01, epochs=7, unstable="allow").losses.values.max() > 1e100
    assert simulate(tasks, "identity", rate=0.001, epochs=7).losses.values[26:].max() < 30


@pytest.mark.parametrize(
    "change",
    [{"record": "x"}, {"unstable": "no"}, {"noise": np.zeros((1, 3, 5))},
     {"noise": np.full((1, 3, 4), np.nan)}, {"engine": "projected", "record": "P"},
     {"engine": "moment", "record": "q"}, {"rate": 0}, {"rate": np.nan}, {"epochs": 0}, {"engine": "momnt"},
     {"fast_rate": 0}, {"inner_steps": 0},
     {"order": [[0, 1, 9]]}],
)  # fmt: skip
def test_bad_input(change):
    with pytest.raises(InputError) as error:
        simulate(random_tasks(3, 4), "identity", **({"rate": 0.01, "epochs": 1} | change))
    assert "Fix:" in str(error.value)
    with pytest.raises(InputError, match="identity"):
        simulate(random_tasks(3, 4), "identty", rate=0.01, epochs=1)
    for name in ("linear", "leaky"):
        with pytest.raises(InputError, match="projected"):
            simulate(random_tasks(3, 4), name, rate=0.01, epochs=1, engine="moment")
    with pytest.raises(InputError, match="toymodel.Tasks"):
        simulate(np.eye(3), "identity", rate=0.01, epochs=1)


def test_trajectories_that_do_not_fit_are_refused(monkeypatch):
    monkeypatch.setattr("toymodel.base.memory.available_memory", lambda: 10_000)
    with pytest.raises(InputError, match="MiB"):
        simulate(random_tasks(3, 40), "identity", rate=0.01, epochs=5, record="P")


def test_losses_that_overflow_are_said_in_one_line():
    tasks = random_tasks(5, 50, 5)
    for name in ("identity", "cubic"):
        for engine in ("direct", "projected", *(("moment",) if name == "identity" else ())):
            with pytest.raises(InputError, match="not finite after episode"):
                simulate(tasks, name, rate=10.0, epochs=200, engine=engine, unstable="allow")
    own = maps.from_functions(maps.cubic().forward.source, maps.cubic().inverse.source,
                              parameters=maps.cubic().parameters)  # fmt: skip
    with pytest.raises(InputError, match="fails during|not finite"):
        simulate(tasks, own, rate=10.0, epochs=200)
