"""Settings that a run would not look at are refused before it begins, and only then."""

import json

import pytest

import llm
from llm import RunConfig
from llm.ignored import refuse_ignored_settings
from llm.presets import PRESETS, preset
from llm.runs.folder import RunFolder
from toymodel import InputError

IGNORED = [
    {"shuffle_until": 2},
    {"schedule": "palindrome", "reverse_block": 3},
    {"mask_up_to": False},
    {"mask_token": 3},
    {"window": "program"},
    {"optimizer": "sgd", "reset_optimizer": False},
    {"weights": "pretrained", "init": "normal"},
    {"documents_split": "test"},
    {"documents_subset": "3.0.0"},
]


@pytest.mark.parametrize("settings", IGNORED, ids=lambda settings: list(settings)[-1])
def test_what_a_run_would_ignore_is_refused_before_it_begins(settings, tmp_path):
    name = list(settings)[-1]
    config = RunConfig(**({"optimizer": "adam", "epochs": 2} | settings))
    with pytest.raises(InputError, match=rf"{name}=.* changes nothing with .*Fix: leave out {name}"):
        llm.run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    # A run that was made so is read, and goes on.
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(json.dumps(config.to_json()))
    assert RunFolder(tmp_path / "run").check(config)


def test_no_preset_sets_what_it_ignores():
    for name in PRESETS:
        refuse_ignored_settings(preset(name))
    refuse_ignored_settings(RunConfig(schedule="middle-shuffled", shuffle_until=3))
