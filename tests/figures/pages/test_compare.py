"""The main job on tiny inputs: what it takes, what it writes, what it refuses."""

import dataclasses
import json
import math

import numpy as np
import pytest

from bridge import fit
from figures.pages import compare as module
from figures.pages.compare import compare
from llm import RunConfig
from toymodel import InputError, LossMatrix, share_losses

TINY = RunConfig(
    model="embedded", width=32, depth=2, heads=2, feed_forward=64, context=16, num_documents=4, steps=3,
    epochs=4, optimizer="adam", lr=1e-3, device="cpu",
)  # fmt: skip


def toy_matrix(tasks=6, epochs=5, seed=0):
    rng = np.random.default_rng(seed)
    order = np.tile(np.arange(tasks), (epochs, 1))
    values = 0.2 + rng.uniform(2, 3, tasks) * share_losses(0.3, 0.5, order, variance_w=1.0)
    return LossMatrix(values + rng.uniform(0, 0.05, values.shape), order)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("compare") / "out"
    return out, compare(TINY, seeds=2, out=out)


def test_trains_fits_draws_and_reports(trained):
    out, result = trained
    assert {p.name for p in out.iterdir()} == {
        "network-0", "network-1", "comparison.png", "report.html", "fit.json", "explorer.html",
    }  # fmt: skip
    assert {path.name for path in result.written} == {
        "comparison.png", "report.html", "fit.json", "explorer.html",
    }  # fmt: skip
    assert (out / "comparison.png").read_bytes().startswith(b"\x89PNG")
    page = (out / "report.html").read_text()
    assert "adam, learning rate 0.001" in page
    assert 'href="explorer.html"' in page
    explorer = (out / "explorer.html").read_text()
    assert 'data-state="#run=this-network"' in explorer
    assert "Mean over 2 seeds" in explorer
    assert 'src="http' not in page
    saved = [LossMatrix.load(out / f"network-{seed}").values for seed in (0, 1)]
    assert np.array_equal(np.mean(saved, axis=0), result.fit.data.values)
    assert result.comparison.seeds == 2
    assert "Recovery score" in result.text


def test_fit_json_is_plain_and_complete(trained):
    out, result = trained

    def no_constants(word):
        raise AssertionError(f"{word} is no JSON")

    record = json.loads((out / "fit.json").read_text(), parse_constant=no_constants)
    assert {"mechanism", "parameters", "r2", "held_out_r2", "nulls", "recovery"} <= set(record)
    for parameter in record["parameters"].values():
        assert math.isfinite(parameter["value"])
        assert (parameter["low"] is None) == bool(parameter["reason"])
    noisy = [score["value"] for score in record["recovery"]["toy_with_noise"]]
    assert noisy == [score.value if score else None for score in result.comparison.toy_noisy]
    assert len(record["recovery"]["network"]) == len(record["recovery"]["toy"]) == TINY.epochs - 1
    assert record["r2"] == pytest.approx(result.comparison.r2)


def test_a_second_call_trains_nothing(trained, monkeypatch):
    out, result = trained
    monkeypatch.setattr("llm.networks.models.build_model", lambda *a, **k: pytest.fail("trained again"))
    again = compare(TINY, seeds=2, out=out)
    assert np.array_equal(again.fit.data.values, result.fit.data.values)


def test_takes_every_form_of_a_finished_run(trained, tmp_path):
    out, _ = trained
    folder = out / "network-0"
    losses = LossMatrix.load(folder)
    losses.save(tmp_path / "a.npz")
    np.save(tmp_path / "b.npy", losses.values)
    np.savez(tmp_path / "c_results.npz", eval_losses_ckpt=losses.values)
    # All at once, as seeds of one experiment: each is read as what it is, and their mean is that of any.
    given = [folder, tmp_path / "a.npz", tmp_path / "b.npy", tmp_path / "c_results.npz"]
    taken = compare(run=given, out=tmp_path / "out")
    assert len(taken.comparison.networks) == len(given)
    for network in taken.comparison.networks:
        assert np.array_equal(network.values, losses.values)
    assert taken.fit.r2 == fit(losses, starts=3).r2
    facts = taken.comparison.facts
    assert facts["model"].startswith("embedded")
    assert "torch" in facts["versions"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"seeds": 0}, "seeds=0"),
        ({"run": ["nowhere.npz"]}, "no file or run folder 'nowhere.npz'"),
        ({"run": ["x.npz"], "seeds": 2}, "either finished runs or a network"),
        ({"run": ["x.npz"], "config": dataclasses.replace(TINY, lr=0.5)}, "run together with settings"),
    ],
)
def test_refuses(tmp_path, arguments, words):
    with pytest.raises(InputError) as error:
        compare(out=tmp_path / "out", **arguments)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_refuses_seeds_of_different_schedules(tmp_path):
    a, b = toy_matrix(), toy_matrix(seed=1)
    a.save(tmp_path / "a.npz")
    LossMatrix(b.values, b.order[:, ::-1]).save(tmp_path / "b.npz")
    with pytest.raises(InputError, match="seeds of one schedule"):
        compare(run=[tmp_path / "a.npz", tmp_path / "b.npz"], out=tmp_path / "out")
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError, match="is a file"):
        compare(run=[tmp_path / "a.npz"], out=tmp_path / "taken")


def test_three_epochs_still_report(tmp_path):
    """Too short to hold two epochs out: said, not invented."""
    toy_matrix(epochs=3).save(tmp_path / "a.npz")
    result = compare(run=[tmp_path / "a.npz"], out=tmp_path / "out")
    record = json.loads((tmp_path / "out" / "fit.json").read_text())
    assert record["held_out_r2"] is None
    assert record["held_out_reason"]
    assert result.comparison.held_out is None


def test_the_command_prints_the_report_and_the_files(tmp_path, capsys):
    toy_matrix().save(tmp_path / "a.npz")
    module.COMMANDS[""](run=(tmp_path / "a.npz",), out=tmp_path / "out")
    said = capsys.readouterr().out
    assert "R^2" in said
    assert said.count("wrote ") == 4
