"""Power: how often the truth is told, in simulated logs that are what they say."""

import numpy as np
import pytest

from bridge.orders.evidence import HYPOTHESES
from bridge.orders.power import power, simulated_log
from toymodel import InputError


def test_power_rises_with_the_correlation_and_the_length_of_the_log():
    found = power(12, 4, [0.2, 0.95], draws=8)
    assert set(found) == set(HYPOTHESES)
    assert found["same order"][1] > found["same order"][0]
    assert power(12, 8, [0.95], draws=8)["reshuffled"][0] >= found["reshuffled"][1]


def test_simulated_logs_are_what_they_say():
    log = simulated_log("same order", 400, 6, 0.6, seed=0)[0].reshape(6, 400)
    trend = np.linspace(0, 1.5, 2400).reshape(6, 400)
    found = np.corrcoef(np.log(log) + trend)[np.triu_indices(6, 1)].mean()
    assert found == pytest.approx(0.6, abs=0.05)
    drawn = simulated_log("reshuffled", 400, 6, 0.6, seed=0)[0].reshape(6, 400)
    assert abs(np.corrcoef(np.log(drawn) + trend)[np.triu_indices(6, 1)].mean()) < 0.05
    log, step, shift = simulated_log("displaced", 10, 6, 1.0, seed=2)
    document = (np.arange(60) + np.where(np.arange(60) >= step, shift, 0)) % 10
    rest = np.log(log) + 1.5 * np.arange(60) / 60
    for number in range(10):
        assert np.ptp(rest[document == number]) < 1e-12
    assert 10 <= step < 60
    assert 1 <= shift < 10


def test_bad_input():
    with pytest.raises(InputError, match="kind"):
        simulated_log("sideways", 10, 3, 0.5)
    with pytest.raises(InputError, match="correlation 1.5"):
        simulated_log("same order", 10, 3, 1.5)
