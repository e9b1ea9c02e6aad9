import sys
from typing import get_args, get_type_hints

import numpy as np
import pytest
import xarray

import reawaken
from toymodel import LossMatrix, cyclic_order, episode_noise, random_tasks, recovery_scores, simulate
from toymodel.commands import Schedule, run
from toymodel.maps import MAPS
from toymodel.measures.schedules import SCHEDULES
from toymodel.tasks import NOISES


def call(*argv):
    return reawaken.main(["toy", *map(str, argv)])


def test_run_prints_and_saves(tmp_path, capsys):
    out = tmp_path / "F.npz"
    argv = ("--tasks", 6, "--dim", 20, "--map", "reflection", "--rate", 0.02, "--epochs", 3)
    assert call("run", *argv, "--out", out) == 0
    ref = simulate(random_tasks(6, 20), "reflection", rate=0.02, epochs=3).losses
    losses = LossMatrix.load(out)
    assert np.array_equal(losses.values, ref.values)
    assert losses.meta["toy"]["rate"] == 0.02
    printed = capsys.readouterr().out
    assert "stable" in printed
    for score in recovery_scores(ref):
        assert str(score) in printed


def test_every_option(tmp_path):
    out = tmp_path / "F.npz"
    assert call("run", "--tasks", 4, "--dim", 12, "--embedding", 3, "--map", "leaky", "--target", "normal",
                "--rate", 0.01, "--epochs", 2, "--inner-steps", 2, "--fast-rate", 0.5, "--schedule", "cyclic",
                "--noise", "gaussian", "--noise-level", 0.2, "--engine", "projected", "--seed", 3,
                "--record", "q", "w", "--out", out) == 0  # fmt: skip
    tasks = random_tasks(4, 12, 3, seed=3, target="normal")
    noise = episode_noise(tasks, cyclic_order(4, 2), "gaussian", 0.2, seed=4)
    ref = simulate(tasks, "leaky", rate=0.01, epochs=2, inner_steps=2, fast_rate=0.5, noise=noise,
                   engine="projected", record=("q", "w"))  # fmt: skip
    assert np.array_equal(LossMatrix.load(out).values, ref.losses.values)
    with np.load(out) as file:
        for name in ("q", "w"):
            assert np.array_equal(file[name], ref.trajectories[name])


def test_lists_of_choices_are_those_of_the_library():
    assert set(get_args(Schedule)) == set(SCHEDULES)
    assert set(get_args(get_type_hints(run)["noise"])) == {"none", *NOISES}
    for name in MAPS:
        assert name in run.__doc__


def test_one_epoch_and_the_papers_rate(capsys):
    assert call("run", "--tasks", 3, "--dim", 5, "--epochs", 1) == 0
    assert "no recovery score" in capsys.readouterr().out
    assert call("run", "--rate", 0.01) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "past the stability limit of 0.003" in said.err
    assert len(said.err.splitlines()) == 1
    assert call("run", "--rate", 0.01, "--epochs", 2, "--unstable", "allow") == 0
    assert "past the stability limit" in capsys.readouterr().out


def test_sweep_prints_and_saves(tmp_path, capsys):
    out = tmp_path / "s.nc"
    assert call("sweep", "--rate", "0.001:0.003:5", "--similarity", 0, 0.2, "--tasks", 5, "--epochs", 3,
                "--out", out) == 0  # fmt: skip
    data = xarray.load_dataset(out, engine="h5netcdf")
    assert data["recovery"].shape == (5, 2, 2)
    np.testing.assert_allclose(data["rate"], np.linspace(0.001, 0.003, 5))
    assert "recovery" in capsys.readouterr().out
    assert call("sweep", "--slow-share", "0.1:0.5:3", "--fast-share", 0.5, "--tasks", 4) == 0


@pytest.mark.parametrize(
    "argv",
    [("run", "--epochs", 0), ("run", "--map", "identty"), ("run", "--record", "q"), ("run", "--tasks", 1),
     ("run", "--dim", 0), ("run", "--noise", "mask", "--noise-level", 2), ("sweep", "--rate", "a:b"),
     ("sweep", "--rate", "1:2"), ("sweep", "--tasks", 2.5), ("sweep", "--rate", 0)],
)  # fmt: skip
def test_bad_input_is_one_line(argv, capsys):
    assert call(*argv) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("command", "out", "fix"),
    [
        ("run", "x.csv", "x.npz"), ("run", "x", "x.npz"), ("run", "/dev/full", "/dev/full.npz"),
        ("run", "/dev/null/x.npz", "--out"), ("sweep", "s.csv", "s.nc"), ("sweep", "/proc/x.nc", "--out"),
    ],
)  # fmt: skip
def test_an_output_that_cannot_be_is_found_first(tmp_path, monkeypatch, capsys, command, out, fix):
    def computed(*_, **__):
        raise AssertionError("computed")

    monkeypatch.chdir(tmp_path)
    # By name: the package has a function where it has a module too.
    monkeypatch.setattr(sys.modules["toymodel.simulate"], "simulate", computed)
    monkeypatch.setattr(sys.modules["toymodel.sweeps.sweep"], "_compute", computed)
    assert reawaken.main(["toy", command, "--out", out]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert fix in said.err.partition("Fix:")[2]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("argv", ["sweep --tasks 1e400", "sweep --seed inf", "sweep --epochs " + "9" * 400,
                                  "run --embedding " + "9" * 400])  # fmt: skip
def test_numbers_past_every_float(capsys, argv):
    assert call(*argv.split()) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_order_without_epochs_is_told_by_its_episodes(capsys):
    argv = ["toy", "run", "--dim", "30", "--tasks", "4", "--epochs", "2", "--rate", "0.001"]
    for schedule, word, last in (("iid", "episode", "8"), ("cyclic", "epoch", "2")):
        assert reawaken.main([*argv, "--schedule", schedule]) == 0
        lines = [line.split() for line in capsys.readouterr().out.splitlines()]
        assert word in [line[0] for line in lines if "online" in line]
        assert lines[-1][0] == last


@pytest.mark.parametrize(
    ("line", "ignored"),
    [
        ("run --noise-level 0.3", "--noise-level 0.3 changes nothing with --noise none"),
        ("analyze --share 0.3 --dim 40", "--dim 40 changes nothing with --share 0.3"),
        ("analyze --seed 4", "--seed 4 changes nothing with --share"),
        ("analyze --slow 0.3 --fast 0.5 --inner-steps 4", "--inner-steps 4 changes nothing with --slow 0.3"),
        ("order --slow 0.3 --fast 0.5 --fast-rate 0.4", "--fast-rate 0.4 changes nothing with --slow 0.3"),
        ("order --gram G --tasks 12", "--tasks 12 changes nothing with --gram"),
        ("order --budget 12 --epochs 9", "--epochs 9 changes nothing with --budget 12"),
        ("sweep --slow-share 0.1 --fast-share 0.5 --rate 0.001:0.002:3", "--rate 0.001 0.0015 0.002 changes"),
        ("sweep --slow-share 0.1 --fast-share 0.5 --inner-steps 3", "--inner-steps 3 changes nothing"),
    ],
)
def test_what_would_change_nothing_is_refused(line, ignored, capsys):
    assert call(*line.split()) == 2
    said = capsys.readouterr().err
    assert ignored in said
    assert "Fix: leave out --" in said
