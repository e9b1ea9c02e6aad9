"""Runs are found by what they are, and packed without losing what figures need."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from figures.evidence.reproduce import run_command, sweep_command
from figures.evidence.runs import Runs
from figures.evidence.stored import pack
from llm.presets import PRESETS, family, preset
from llm.runs.finished import Run
from tests.figures.runs import write_family, write_run
from toymodel import InputError, LossMatrix


def tiny(**changes):
    return replace(preset("fig5-documents-10-small"), **changes)


def matrix(config, seed=0):
    rng = np.random.default_rng(seed)
    T = config.num_documents
    return LossMatrix.from_values(rng.random((1 + config.epochs * T, T)))


def test_a_family_is_found_by_configuration(tmp_path):
    write_family(tmp_path, "fig5-steps-small")
    (tmp_path / "notes").mkdir()
    found = Runs.load(tmp_path).family("fig5-steps")
    assert found.form == "-small"
    assert [m.preset.label for m in found.members] == ["1", "5", "10", "20"]
    assert [run.config.seed for run in found.members[0].runs] == [0, 1]
    assert found.missing == ()
    assert Runs.load(tmp_path).family("fig6") is not None  # gradient descent is the same run
    assert Runs.load(tmp_path).family("fig9") is None


def test_the_form_with_most_members_wins_and_the_papers_own_wins_a_tie(tmp_path):
    small, own = family("fig13-small"), family("fig13")
    for config in (small[0].config, small[1].config, own[0].config):
        write_run(tmp_path, config, losses=matrix(config))
    assert Runs.load(tmp_path).family("fig13").form == "-small"
    write_run(tmp_path, own[1].config, losses=matrix(own[1].config))
    found = Runs.load(tmp_path).family("fig13")
    assert found.form == ""
    assert Runs.load(tmp_path).family("fig13", ("-small",)).form == "-small"


def test_execution_and_further_probes_do_not_matter_but_missing_ones_do(tmp_path):
    wanted = preset("fig17-small")
    other = replace(wanted, device="cpu", precision="bf16", probes=("updates", "gradients"))
    write_run(tmp_path, other, losses=matrix(other))
    runs = Runs.load(tmp_path)
    assert runs.member(family("fig17-small")[0]).runs[0].config == other
    assert not runs.member(family("fig8-small")[0]).runs


def test_coinciding_members_count_once():
    every = [replace(m.config, seed=3) for m in family("fig5-frozen-small")]
    found = Runs(Run(config, {}, Path()) for config in every).family("fig5-frozen")
    # Of 16 blocks 6, 8 and 10 are 2 of 4.
    assert [m.preset.label for m in found.members] == ["0", "4", "6", "12"]


def test_unfinished_and_foreign_folders_are_passed_over(tmp_path):
    config = tiny()
    (write_run(tmp_path, config, losses=matrix(config)) / "losses.npz").unlink()
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text('{"colour": "blue"}')
    (other / "losses.npz").write_bytes(b"")
    assert len(Runs.load(tmp_path)) == 0
    with pytest.raises(InputError, match="reawaken llm sweep"):
        Runs.load(tmp_path / "nowhere")


def test_packing_keeps_single_precision_exactly_and_is_the_same_every_time(tmp_path):
    config = tiny(probes=("pairwise", "updates"))
    single = LossMatrix.from_values(matrix(config).values.astype(np.float32))
    double = matrix(tiny(seed=1), 1)
    write_run(tmp_path / "runs", config, losses=single)
    write_run(tmp_path / "runs", tiny(seed=1), losses=double)
    runs = Runs.load(tmp_path / "runs")
    pack(runs, tmp_path / "one")
    pack(runs, tmp_path / "two")
    files = sorted(p.name for p in (tmp_path / "one").iterdir())
    assert len(files) == 3
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    back = {run.config.seed: run for run in Runs.load(tmp_path / "one")}
    np.testing.assert_array_equal(back[0].losses.values, single.values)
    np.testing.assert_array_equal(back[1].losses.values, double.values)
    with np.load(tmp_path / "one" / f"{config.id}.npz") as arrays:
        assert arrays["losses"].dtype == np.float32
    first = next(run for run in runs if run.config.seed == 0)
    np.testing.assert_allclose(
        back[0].probe("pairwise")["recovery"], first.probe("pairwise")["recovery"], rtol=1e-6, atol=1e-7
    )
    assert back[0].manifest["git_commit"] == "abc123"
    with pytest.raises(InputError, match="--probes pca"):
        back[0].probe("pca")
    # What is packed no more leaves no file behind.
    pack([run for run in runs if run.config.seed == 0], tmp_path / "one")
    assert {p.stem for p in (tmp_path / "one").glob("*.npz")} == {config.id}


def test_commands_make_the_runs():
    assert sweep_command("fig6-small") == "reawaken llm sweep --presets fig6-small --seeds 0 1 2 --out runs"
    base = PRESETS["fig6-adam"]
    config = replace(base.config, seed=2, lr=0.5)
    assert run_command(config, base) == "reawaken llm run --preset fig6-adam --lr 0.5 --seed 2 --out RUN"
