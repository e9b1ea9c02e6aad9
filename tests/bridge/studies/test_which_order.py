"""Verdicts on runs whose order is known: the truth is read from the order, the verdict from the losses."""

import json
from pathlib import Path

import numpy as np

from bridge.studies.recorded import finished_runs
from bridge.studies.which_order import FOLDER, Told, judge, resumed, table, truth
from llm import Run, RunConfig
from toymodel import schedule
from toymodel.measures.losses import LossMatrix

RECORDED = Path(__file__).parents[3] / "figures" / "recorded"


def run_in(order, tmp_path, schedule="given"):
    """A run in that order, with losses that tell nothing."""
    tasks = np.shape(order)[1]
    config = RunConfig(
        num_documents=tasks, epochs=len(order),
        **({"order": np.asarray(order).tolist()} if schedule == "given" else {"schedule": schedule}),
    )  # fmt: skip
    values = np.random.default_rng(0).uniform(1, 2, (1 + np.size(order), tasks))
    LossMatrix(values, order).save(tmp_path / "run.npz")
    return Run(config, {}, tmp_path / "run.npz")


def test_the_truth_is_that_of_the_order(tmp_path):
    fixed = np.tile(np.random.default_rng(1).permutation(6), (4, 1))
    assert truth(run_in(fixed, tmp_path)) == "same order"
    assert truth(run_in(schedule("reshuffled", 6, 4, 0), tmp_path, "reshuffled")) == "reshuffled"
    assert truth(run_in(schedule("palindrome", 6, 4), tmp_path, "palindrome")) is None
    moved = (np.arange(24) + np.where(np.arange(24) >= 11, 4, 0)) % 6
    assert truth(run_in(moved.reshape(4, 6), tmp_path)) == "displaced"
    moved[20] = moved[19]
    assert truth(run_in(moved.reshape(4, 6), tmp_path)) is None


def test_resumed_runs_go_on_elsewhere():
    anew, skipped = (np.array(json.loads(config.order)).ravel() for config in resumed((0,))[:2])
    np.testing.assert_array_equal(anew[:68], np.arange(68) % 25)
    np.testing.assert_array_equal(anew[68:], np.arange(57) % 25)
    np.testing.assert_array_equal(skipped[60:], np.arange(64, 129) % 25)
    assert len({config.id for config in resumed()}) == 12


def test_resumed_runs_are_told_and_where():
    told = judge(finished_runs(RECORDED / "orders" / FOLDER))
    assert len(told) == 12
    assert {one.truth for one in told} == {one.verdict for one in told} == {"displaced"}
    off = [one.off for one in told if one.off is not None]
    assert len(off) >= 11
    assert max(off) <= 3


def test_recorded_runs_on_a_gpu_are_told_or_not_told():
    told = judge(finished_runs(RECORDED / "h100"))
    wrong = [one for one in told if one.verdict not in (one.truth, "undecided")]
    assert len(told) >= 14
    assert len(wrong) <= 2
    assert sum(one.verdict == one.truth for one in told) >= 8


def test_the_table_counts():
    rows = [Told("small", "cyclic", "same order", said, said) for said in ("same order", "displaced")]
    rows.append(Told("small", "cyclic", "same order", "undecided", "same order"))
    lines = table(rows).splitlines()
    assert lines[2] == "| same order | cyclic | small | 3 | 1 | 1 | 1 | 2 |"
    assert lines[-1].startswith("| all |")
