"""Orders of one's own, palindromes and spaced documents, through configuration, loop and words."""

import dataclasses
import json

import numpy as np
import pytest

import reawaken
from llm import RunConfig, preset
from llm.runs.finished import running_score
from llm.runs.show import show_run
from llm.tasks.order import episode_order
from llm.training.loop import run
from toymodel import InputError, online_loss
from toymodel.measures.schedules import schedule

TINY = RunConfig(
    model="embedded", width=16, depth=1, heads=2, feed_forward=32, context=8, num_documents=4, epochs=3,
    steps=1, lr=0.05, device="cpu",
)  # fmt: skip
ORDER = [[0, 1, 1, 3], [2, 0, 3, 3], [1, 0, 2, 3]]


def refused(**changes):
    with pytest.raises(InputError) as error:
        dataclasses.replace(TINY, **changes)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_file_and_numbers_are_one_run(tmp_path):
    np.save(tmp_path / "o.npy", ORDER)
    (tmp_path / "o.json").write_text(json.dumps(ORDER, indent=2))
    given = [str(tmp_path / "o.npy"), str(tmp_path / "o.json"), ORDER, json.dumps(ORDER)]
    configs = {dataclasses.replace(TINY, order=one) for one in given}
    (config,) = configs
    assert config.schedule == "given"
    np.testing.assert_array_equal(episode_order(config), ORDER)
    assert RunConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    every = dataclasses.replace(TINY, order=[3, 2, 1, 0])
    np.testing.assert_array_equal(episode_order(every), [[3, 2, 1, 0]] * 3)


@pytest.mark.parametrize("kind", ["palindrome", "spaced"])
def test_networks_and_toy_take_the_same_schedules(kind):
    config = dataclasses.replace(TINY, schedule=kind)
    np.testing.assert_array_equal(episode_order(config), schedule(kind, 4, 3))


def test_bad_orders(tmp_path):
    assert "order with a file" in refused(schedule="given")
    assert "leave out schedule='iid'" in refused(schedule="iid", order=ORDER)
    assert "epochs=2, num_documents=4" in refused(order=ORDER[:2])
    assert "from 0 to 3" in refused(order=[0, 1, 2, 4])
    assert "no file" in refused(order=str(tmp_path / "none.npy"))
    assert "as in JSON" in refused(order="[[0, 1")
    assert "epochs=2" in refused(schedule="palindrome", epochs=1)
    assert "adamw" in refused(optimizer="adam", weight_decay=0.1)
    assert "weight_decay" in refused(weight_decay=-0.1)


def test_ids_from_before_these_fields_stay():
    # The hash of the defaults as of the recorded runs' version.
    assert TINY.id != dataclasses.replace(TINY, weight_decay=0.5).id != TINY.id
    values = TINY.to_json()
    del values["order"], values["weight_decay"]
    assert RunConfig.from_json(values).id == TINY.id


def test_a_run_in_a_given_order_is_recorded_and_shown(tmp_path, capsys):
    (tmp_path / "o.json").write_text(json.dumps(ORDER))
    argv = ["llm", "run", "--order", str(tmp_path / "o.json"), "--out", str(tmp_path / "run")]
    for name, value in TINY.to_json().items():
        if value not in (getattr(preset("embedded"), name), [], [0]):
            argv += [f"--{name.replace('_', '-')}", str(value)]
    assert reawaken.main(argv) == 0
    capsys.readouterr()
    (tmp_path / "o.json").unlink()
    finished = run(dataclasses.replace(TINY, order=ORDER), tmp_path / "run")  # the same run: nothing to do
    np.testing.assert_array_equal(finished.losses.order, ORDER)
    shown = show_run(tmp_path / "run")
    online = online_loss(finished.losses)
    assert "  ".join(f"{v:>5.2f}" for v in online) in shown
    assert f"mean of epochs 2 to 3: {online[1:].mean():.4g}" in shown
    assert "return" in shown  # by return, not by epoch: a document comes twice in the first
    part = online_loss(finished.losses.first_epochs(2))[1]
    assert running_score(finished.losses.values, finished.losses.order, 8) == f"online loss {part:.3g}"
