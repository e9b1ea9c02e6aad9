import json
from dataclasses import replace

import numpy as np
import pytest

from bridge import Mechanism, fit, r_squared, to_json
from bridge.judge.ahead import epochs_ahead
from bridge.judge.findings import find
from bridge.judge.identity import Identity, identify, relate
from bridge.judge.predictions import predict, predict_runs
from bridge.present.predictions import plot_predictions
from bridge.present.report import report
from reawaken import main
from tests.bridge.simulated import simulated, truth
from toymodel import InputError, LossMatrix, cyclic_order, online_loss

FOUR = Mechanism(channels=1, drift="none", link="saturating", nearness=False, pairs=False)
FLAGS = [
    *("--channels", "1", "--drift", "none", "--link", "saturating", "--nearness", "False"),
    *("--pairs", "False", "--starts", "2"),
]
CONFIG = {"model": "m", "steps": 10, "epochs": 4, "num_documents": 8, "schedule": "cyclic", "lr": 0.1,
          "context": 32, "tokenizer": "t", "device": "cpu"}  # fmt: skip
THETA = np.array([-1.0, -0.2, 1.0, -1.0])


def made(order, steps=1.0, seed=0, **config):
    """A run of one network: its scales are the same whatever is done with it."""
    scales = np.random.default_rng(99).uniform(6, 8, 8)[: order.shape[1]]
    shapes = FOUR.losses(THETA, order, steps=steps)
    noise = np.random.default_rng(seed).normal(0, 0.02, shapes.shape)
    return LossMatrix(scales * shapes + noise, order, {"config": CONFIG | config, "tasks_sha256": "a" * 64})


@pytest.fixture(scope="module")
def run():
    return made(cyclic_order(8, 4))


@pytest.fixture(scope="module")
def reshuffled():
    rng = np.random.default_rng(3)
    return made(np.array([rng.permutation(8) for _ in range(4)]), seed=1, schedule="reshuffled")


@pytest.fixture(scope="module")
def result(run):
    return fit(run, FOUR, starts=2)


def test_another_order_is_predicted_from_the_fit_alone(result, run, reshuffled):
    found = predict(result, reshuffled, relate(Identity("a", run, CONFIG), Identity("b", reshuffled, CONFIG)))
    assert found.r2 > 0.98 > found.null_r2
    assert found.later_r2 > found.later_null_r2
    assert found.r2 == r_squared(reshuffled.values[1:], found.guess.values[1:])
    for losses, online in zip((found.truth, found.guess, found.null), found.online, strict=True):
        assert np.array_equal(online, online_loss(losses))
    # Of the truth nothing but its order is used.
    spoiled = LossMatrix(reshuffled.values + 5.0, reshuffled.order)
    assert np.array_equal(predict(result, spoiled, found.change).guess.values, found.guess.values)


def test_changes_are_told_from_configurations(run, reshuffled):
    mine = Identity("a", run, CONFIG, (), "a" * 64)

    def change(losses=run, **config):
        return relate(mine, Identity("b", losses, CONFIG | config, (), "a" * 64))

    assert change().words == "the same run again"
    assert change(reshuffled, schedule="reshuffled").words == "reshuffled order"
    assert change(steps=20).steps == 2.0
    assert change(steps=20).words == "20 steps for 10"
    assert change(made(cyclic_order(8, 6)), epochs=6).words == "6 epochs for 4"
    assert change(lr=0.2, device="cuda").unmodelled == ("lr 0.2 for 0.1",)


def test_what_a_prediction_leaves_out_stands_in_its_first_line(run, reshuffled):
    mine = Identity("a", run, CONFIG, (), "a" * 64)
    again = LossMatrix(run.values + 0.001, run.order)
    bits = LossMatrix(run.values / np.log(2), run.order)

    def words(losses, config):
        return relate(mine, Identity("b", losses, config, (), "a" * 64)).words

    assert words(run, CONFIG | {"lr": 0.2, "seed": 1}) == "other lr"  # the seed of one of them is not known
    assert words(reshuffled, CONFIG | {"schedule": "reshuffled", "lr": 1}) == "reshuffled order, other lr"
    assert words(again, CONFIG) == "the same settings"
    assert words(again, {}) == "of the same order"
    assert words(bits, CONFIG) == "other losses before training"
    with pytest.raises(InputError, match=r"another network than a \(model n for m\)"):
        words(again, CONFIG | {"model": "n"})


def test_fewer_documents_are_found_by_name(run):
    few = made(cyclic_order(3, 4))
    names = tuple("abcdefgh")
    mine = Identity("a", run, CONFIG, names, "a" * 64)
    theirs = Identity("b", few, CONFIG, ("h", "a", "c"), "b" * 64)
    assert relate(mine, theirs).documents == (7, 0, 2)
    words = "other documents than a .3 and 8; tasks_sha256 bbbbbbbb against aaaaaaaa"
    changes = ({"documents": ("h", "a", "x")}, {"config": CONFIG | {"context": 64}}, {"documents": ()})
    for change in changes:
        with pytest.raises(InputError, match=words):
            relate(mine, replace(theirs, **change))


def test_documents_that_cannot_be_told_apart_are_taken_as_the_same_and_said(run):
    mine, theirs = Identity("a", run, {}), Identity("b", run, {})
    assert "no hash" in relate(mine, theirs).unchecked
    with pytest.raises(InputError, match="3 and 8; by their number"):
        relate(mine, Identity("b", made(cyclic_order(3, 4)), {}))


def test_identities_are_read_from_run_folders_and_files(run, tmp_path):
    run.save(tmp_path / "a.npz")
    found = identify(tmp_path / "a.npz", LossMatrix.load(tmp_path / "a.npz"))
    assert (found.name, found.documents_hash, found.config["steps"]) == ("a.npz", "a" * 64, 10)
    assert identify("b.npy", LossMatrix(run.values, run.order)).documents_hash == ""


def test_the_command_predicts_writes_and_draws(run, reshuffled, tmp_path, capsys):
    run.save(tmp_path / "run.npz")
    reshuffled.save(tmp_path / "other.npz")
    out = tmp_path / "out"
    arguments = [
        "fit",
        str(tmp_path / "run.npz"),
        "--predict",
        str(tmp_path / "other.npz"),
        "--epochs-ahead",
        "2",
    ]
    assert main([*arguments, *FLAGS, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "other.npz (reshuffled order), from this fit alone" in printed
    record = json.loads((out / "fit.json").read_text())
    (prediction,) = record["predictions"]
    assert prediction["run"] == "other.npz"
    assert prediction["r2"] > 0.98 > prediction["null_r2"]
    assert len(prediction["online_loss"]["toy"]) == 4
    assert len(record["epochs_ahead"]["recovery"]) == 2
    assert {p.name for p in out.iterdir()} == {"fit.json", "fit.png", "fit.html", "predictions.png"}
    assert "other.npz" in (out / "fit.html").read_text()


def test_runs_of_other_documents_are_refused_before_the_fit(run, tmp_path, capsys, monkeypatch):
    run.save(tmp_path / "run.npz")
    LossMatrix(run.values, run.order, run.meta | {"tasks_sha256": "b" * 64}).save(tmp_path / "other.npz")
    monkeypatch.setattr("bridge.estimate.fit.fit", lambda *a, **k: pytest.fail("fitted first"))
    out = tmp_path / "out"
    assert (
        main(["fit", str(tmp_path / "run.npz"), "--predict", str(tmp_path / "other.npz"), "--out", str(out)])
        == 2
    )
    said = capsys.readouterr().err
    assert "other documents" in said
    assert said.count("\n") == 1
    assert not out.exists()


def test_predictions_are_drawn_side_by_side(result, run, reshuffled):
    change = relate(Identity("a", run, {}), Identity("b", reshuffled, {}))
    found = [predict(result, reshuffled, change, "cost: $5"), predict(result, reshuffled, change, "two")]
    figure = plot_predictions(found)
    images = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert len(images) == 6
    assert np.array_equal(images[1], found[0].guess.values.T)
    figure.canvas.draw()
    text = report(find(result, predictions=tuple(found)))
    assert text.count("from this fit alone") == 2
    assert "unchecked" in text
    assert len(to_json(find(result, predictions=tuple(found)))["predictions"]) == 2


def test_a_recovery_score_that_is_missed_stands_where_the_fit_fails(result, run):
    change = relate(Identity("a", run, {}), Identity("b", run, {}))
    late = run.values.copy()
    late[9:16] = late[16]  # in the second epoch nothing of the first document is lost or won
    other = LossMatrix(late, run.order)
    for losses, missed in ((run, False), (other, True)):
        found = find(result, predictions=(predict(result, losses, change, "b"),))
        assert any(failure.startswith("b: recovery of epoch") for failure in found.failures) == missed


def test_predicted_runs_are_read_from_files(result, run, reshuffled, tmp_path):
    reshuffled.save(tmp_path / "b.npz")
    (found,) = predict_runs(result, identify("a", run), [tmp_path / "b.npz"])
    assert found.run == "b.npz"
    assert found.r2 > 0.98


def test_further_epochs_have_intervals_that_hold_the_truth():
    inside = {"explains": [], "describes": []}
    for seed in range(12):
        rng = np.random.default_rng(seed)
        theta = truth(FOUR, rng, 0.3)
        whole = simulated(FOUR, theta, rng, tasks=10, epochs=5, deviation=0.1)
        ends = whole.values[[40, 50]].mean(1)
        for kind, form in (("explains", FOUR), ("describes", replace(FOUR, link="power"))):
            later = epochs_ahead(fit(whole.first_epochs(3), form, starts=2, intervals_by="none"), 2, draws=60)
            for interval, value in zip(later.after, ends, strict=True):
                assert interval.low <= interval.value <= interval.high
                inside[kind].append(interval.low <= value <= interval.high)
            assert later.losses.epochs == 5
    assert np.mean(inside["explains"]) >= 0.75
    assert np.mean(inside["describes"]) >= 0.5  # the form is not the one they were drawn from


def test_orders_that_repeat_documents_have_no_score_of_an_epoch():
    order = np.random.default_rng(2).integers(0, 8, (4, 8))
    later = epochs_ahead(fit(made(order), FOUR, starts=1, intervals_by="none"), 1, draws=5)
    assert later.scores[0].value is None
    assert later.after[0].low <= later.after[0].high


def test_no_further_epoch_is_refused(result):
    with pytest.raises(InputError, match="epochs_ahead=0"):
        epochs_ahead(result, 0)
