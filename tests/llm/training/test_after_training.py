"""Probes of weights that a run left: the same as those that ran with it."""

import dataclasses

import numpy as np
import pytest

import reawaken
from llm import RunConfig, run
from llm.runs.show import show_any
from llm.training.after_training import probe_run
from tests.llm.given import Breakdown
from toymodel import InputError

CONFIG = RunConfig(
    width=16, depth=2, heads=2, feed_forward=16, num_documents=3, context=8, steps=2, epochs=2,
    optimizer="adam", lr=0.01, reset_optimizer=True, probes=("gradients", "pairwise"),
)  # fmt: skip


def same(first, second):
    assert sorted(first) == sorted(second)
    for key in first:
        np.testing.assert_array_equal(first[key], second[key], err_msg=key)


def test_later_is_the_same_as_with_the_run(tmp_path, capsys):
    ref = run(CONFIG, tmp_path / "with")
    late = run(dataclasses.replace(CONFIG, probes=()), tmp_path / "without", keep_weights=True)
    assert reawaken.main(["llm", "probe", str(late.path)]) == 0
    assert "gradients.npz" in capsys.readouterr().out
    for name in CONFIG.probes:
        same(late.probe(name), ref.probe(name))
    (file,) = probe_run(late.path, ["gradients"], "output")
    assert file.name == "gradients-output.npz"
    assert str(np.load(file)["layer"]) == "lm_head"
    same(late.probe("gradients"), ref.probe("gradients"))


def test_of_a_checkpoint(tmp_path):
    with pytest.raises(OSError, match="went down"):
        run(dataclasses.replace(CONFIG, probes=()), tmp_path / "run", trackers=[Breakdown(5)])
    files = probe_run(tmp_path / "run", ["gradients", "pairwise"])
    episode = int(files[0].stem.split("-")[-1])
    assert 1 <= episode <= 5
    done = run(dataclasses.replace(CONFIG, probes=()), tmp_path / "run")
    np.testing.assert_allclose(np.load(files[1])["before"], done.losses.values[episode], rtol=1e-6)


def test_without_weights(tmp_path):
    run(dataclasses.replace(CONFIG, probes=()), tmp_path / "all" / "run")
    with pytest.raises(InputError, match="holds no weights.*keep_weights"):
        probe_run(tmp_path / "all" / "run", ["pairwise"])
    with pytest.raises(InputError, match="cannot be read"):
        probe_run(tmp_path / "nothing", ["pairwise"])
    with pytest.raises(InputError, match="keep_weights of run folder .* finished without its weights"):
        run(dataclasses.replace(CONFIG, probes=()), tmp_path / "all" / "run", keep_weights=True)
    for name, near in (("all/run/losses.npz", "all/run"), ("", "all"), ("all/ran", "all/run")):
        with pytest.raises(InputError, match="there is no run in") as error:
            show_any(tmp_path / name)
        assert f"show_any({str(tmp_path / near)!r})" in str(error.value)


def test_damaged_weights(tmp_path):
    late = run(dataclasses.replace(CONFIG, probes=()), tmp_path / "run", keep_weights=True)
    file = late.path / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(InputError, match="is damaged"):
        probe_run(late.path, ["pairwise"])
