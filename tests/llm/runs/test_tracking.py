"""Logging to TensorBoard and Weights & Biases: off by default, said when missing, continued after a stop."""

import dataclasses
import sys
import types

import numpy as np
import pytest

from llm import RunConfig, run
from llm.runs.tracking import make_trackers
from tests.llm.given import Breakdown
from toymodel import InputError

CONFIG = RunConfig(
    width=16, depth=1, heads=2, feed_forward=16, num_documents=3, context=8, steps=1, epochs=3, lr=0.01
)


@pytest.fixture
def wandb(monkeypatch):
    """A stand-in for the package that remembers what it was told."""
    module = types.ModuleType("wandb")
    module.inits, module.logged, module.finished = [], [], 0

    class Logged:
        def log(self, values, step):
            module.logged.append((step, values))

        def finish(self):
            module.finished += 1

    def init(**settings):
        module.inits.append(settings)
        return Logged()

    module.init = init
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


def test_nothing_is_imported_unless_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)  # importing it would fail
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    assert make_trackers() == []


@pytest.mark.parametrize(
    ("package", "options", "flag"),
    [("wandb", {"wandb": "mine"}, "wandb='mine'"), ("tensorboard", {"tensorboard": True}, "tensorboard")],
)
def test_a_missing_package_is_said(monkeypatch, package, options, flag):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"^{flag}: .*pip install {package}$"):
        make_trackers(**options)


def test_weights_and_biases(wandb, tmp_path):
    done = run(CONFIG, tmp_path / "run", trackers=make_trackers(wandb="recovery"))
    (settings,) = wandb.inits
    assert settings["project"] == "recovery"
    assert settings["id"] == CONFIG.id
    assert settings["config"] == CONFIG.to_json()
    assert settings["resume"] == "allow"
    assert [step for step, _ in wandb.logged] == list(range(1, 10))
    rows, order = done.losses.values, done.losses.order.ravel()
    for step, values in wandb.logged:
        task = order[step - 1]
        assert values["loss/mean"] == rows[step].mean()
        assert values["loss/before_training"] == rows[step - 1, task]
        assert values["loss/after_training"] == rows[step, task]
    scores = {step: v["recovery_score"] for step, v in wandb.logged if "recovery_score" in v}
    expected = {3 * (n + 2): s.value for n, s in enumerate(done.recovery()) if s}
    assert scores == expected
    assert wandb.finished == 1


def test_weights_and_biases_goes_on_under_the_same_name(wandb, tmp_path):
    with pytest.raises(OSError, match="went down"):
        run(CONFIG, tmp_path / "run", trackers=[*make_trackers(wandb="p"), Breakdown(4)])
    assert wandb.finished == 1  # closed after an error too
    run(CONFIG, tmp_path / "run", trackers=make_trackers(wandb="p"))
    assert {settings["id"] for settings in wandb.inits} == {CONFIG.id}
    assert wandb.logged[-1][0] == 9


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with pytest.raises(OSError, match="went down"):
        run(CONFIG, tmp_path / "run", trackers=[*make_trackers(tensorboard=True), Breakdown(5)])
    done = run(CONFIG, tmp_path / "run", trackers=make_trackers(tensorboard=True))
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    mean = {event.step: event.value for event in events.Scalars("loss/mean")}
    assert sorted(mean) == list(range(1, 10))
    np.testing.assert_allclose([mean[k] for k in sorted(mean)], done.losses.values[1:].mean(1), rtol=1e-6)


def test_trackers_change_no_loss(wandb, tmp_path):
    plain = run(CONFIG, tmp_path / "plain")
    tracked = run(CONFIG, tmp_path / "tracked", trackers=make_trackers(wandb="p"))
    np.testing.assert_array_equal(plain.losses.values, tracked.losses.values)


def test_an_order_without_second_visits(wandb, tmp_path):
    config = dataclasses.replace(CONFIG, schedule="iid", seed=3)
    run(config, tmp_path / "run", trackers=make_trackers(wandb="p"))
    assert len(wandb.logged) == 9
