"""Estimates from records of a GPU."""

import dataclasses

import pytest

from llm.config import RunConfig
from llm.cost.estimate import estimate
from llm.cost.records import nearest_record, read_records
from llm.cost.work import count_work

SMALL = RunConfig(model="pythia-160m", precision="tf32", device="cuda")


def of(config, parameters):
    return nearest_record(config, count_work(config, parameters))


def test_the_nearest_record_is_of_the_same_arithmetic_and_then_of_like_size():
    for precision in ("ieee", "tf32"):
        config = dataclasses.replace(SMALL, precision=precision)
        record = of(config, 162_322_944)
        assert (record.model, record.precision) == ("pythia-160m", precision)
        record = of(dataclasses.replace(config, model="pythia-1.4b"), 1_414_647_808)
        assert (record.model, record.precision) == ("pythia-1b", precision)


def test_an_estimate_of_what_was_recorded_is_what_was_recorded(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    (record,) = [r for r in read_records() if (r.model, r.precision) == ("pythia-160m", "tf32")]
    found = estimate(SMALL)
    work = count_work(dataclasses.replace(SMALL, version=record.version), found.size.parameters)
    step, evaluation = work.least_seconds(record.matrix_rate, record.copy_bandwidth)
    measured = 1250 * step / record.step_share + 126 * evaluation / record.evaluation_share
    assert found.seconds == pytest.approx(measured)
    # 5.47 ms a step and 11.6 an evaluation, as the record's file says.
    assert found.seconds == pytest.approx(1250 * 5.4728e-3 + 126 * 11.5603e-3, rel=1e-3)


def test_every_share_is_one():
    for record in read_records():
        assert 0 < record.step_share <= 1
        assert 0 < record.evaluation_share <= 1
