"""What a sweep will take, before it is started."""

import dataclasses

import pytest

from llm import RunConfig, run
from llm.cost.estimate import Estimate, estimate
from llm.cost.records import nearest_record, read_records
from llm.cost.work import count_work
from llm.launch.grid import expand
from llm.launch.preview import preview

CARD = RunConfig(model="pythia-160m", precision="tf32", device="cuda")


@pytest.fixture(autouse=True)
def without_a_gpu(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)


def words(text):
    return text.splitlines()[-1]


def test_one_by_one_is_the_sum_and_side_by_side_is_not_known_before_it_is_measured(tmp_path):
    configs = expand([CARD], [0, 1, 2])
    alone = estimate(CARD).seconds
    assert f"about {3 * alone:.2g} s for 3 runs" in words(preview(configs, tmp_path))
    beside = words(preview(configs, tmp_path, together=3))
    assert f"about {alone:.2g} s to {3 * alone:.2g} s for 3 runs" in beside
    assert "3 side by side were not measured yet" in beside
    assert not list(tmp_path.iterdir())


def test_a_record_of_runs_side_by_side_is_what_is_estimated_from(tmp_path, monkeypatch):
    work = count_work(CARD, 162_322_944)
    record = dataclasses.replace(nearest_record(CARD, work), together={3: 1.25}, setup_seconds=4.0)
    monkeypatch.setattr("llm.cost.estimate.nearest_record", lambda *_: record)
    found = estimate(CARD)
    assert found.together(3) == (1.25 * found.seconds,) * 2
    assert found.together(2) == (found.seconds, 2 * found.seconds)
    assert "about 4 s before the first episode" in str(found)
    text = words(preview(expand([CARD], range(6)), tmp_path, together=3))
    assert f"about {2 * 1.25 * found.seconds:.2g} s for 6 runs" in text
    assert "not measured" not in text


def test_what_is_finished_takes_no_time_and_a_cpu_is_no_faster_for_two(tmp_path):
    tiny = RunConfig(width=16, depth=1, heads=2, feed_forward=16, num_documents=3, context=8, steps=1,
                     epochs=2, device="cpu")  # fmt: skip
    configs = expand([tiny], [0, 1])
    for config in configs:
        run(config, tmp_path / config.id)
    assert "time" not in preview(configs, tmp_path, together=2)
    found = estimate(tiny)
    assert isinstance(found, Estimate)
    assert found.together(2) == (2 * found.seconds,) * 2


def test_what_cannot_be_counted_is_said_and_the_rest_is_counted(tmp_path):
    gone = RunConfig(model=str(tmp_path / "gone"))
    text = words(preview([gone, CARD], tmp_path / "out"))
    alone = estimate(CARD).seconds
    assert f"about {alone:.2g} s for 1 run," in text
    assert "of 1 more not known: " in text
    assert str(tmp_path / "gone") in text
    assert words(preview([gone], tmp_path / "out")).startswith("time    not known: ")


def test_records_before_there_were_runs_side_by_side_say_nothing_of_them():
    assert all(record.together == {} and record.setup_seconds is None for record in read_records()
               if record.version == 1)  # fmt: skip
    assert {record.parameters for record in read_records()} == {162_322_944, 1_011_781_632}
