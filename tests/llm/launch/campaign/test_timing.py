"""Times of runs to come, from those before them."""

import pytest

from llm.config import RunConfig
from llm.cost.shape import network
from llm.launch.campaign.timing import TimeEstimator


def test_times_are_scaled_from_the_run_that_is_most_alike():
    small, large = (RunConfig(model=m) for m in ("pythia-14m", "pythia-31m"))
    guess = TimeEstimator([], rate=1e12)
    assert guess.episode(large) > guess.episode(small) > 0
    operations = TimeEstimator.operations(small)
    parameters = network(small).parameters
    facts = {"operations": operations, "parameters": parameters, "episode_seconds": 3.0, "setup_seconds": 7.0}
    times = TimeEstimator([facts], rate=1e12)
    assert times.episode(small) == 3.0
    assert times.episode(large) == pytest.approx(3.0 * TimeEstimator.operations(large) / operations)
    assert times.least(small, 5) == 13.0
    assert times.least(small, 0) == 7.0
    pairwise = RunConfig(model="pythia-14m", probes=("pairwise",))
    assert times.least(pairwise, 0) == 7.0 + 25 * times.episode(pairwise)


def test_side_by_side_is_slower_until_it_has_been_timed():
    config = RunConfig(model="pythia-14m")
    facts = {"operations": TimeEstimator.operations(config), "parameters": network(config).parameters,
             "episode_seconds": 3.0, "setup_seconds": 7.0}  # fmt: skip
    times = TimeEstimator([facts], rate=1e12)
    assert times.episode(config, 3) == 9.0
    assert times.whole(config, 10, 3) == 3 * 7.0 + 10 * 9.0
    times = TimeEstimator([facts, facts | {"together": 3, "episode_seconds": 3.5}], rate=1e12)
    assert times.episode(config, 3) == 3.5
    assert times.episode(config, 6) in (6 * 3.0, 2 * 3.5)
    assert times.episode(config) == 3.0
    assert TimeEstimator([], rate=1e12).episode(config, 2) == 2 * TimeEstimator([], rate=1e12).episode(config)
