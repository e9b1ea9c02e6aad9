"""Classifiers from checkpoints of every public format."""

import dataclasses
import importlib.metadata
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageClassification

from llm import run
from llm.vision.classification import classification_adapter
from llm.vision.classifiers import build_classifier, targets
from tests.llm.given import refusal
from tests.llm.pictures import vit
from tests.llm.vision.small import CPU, NO_SHAPE, TINY, inputs


@pytest.mark.parametrize("weights", ["pretrained", "random"])
def test_a_vit_of_the_hub(tmp_path, pictures, weights):
    folder = vit(tmp_path / "vit")
    config = dataclasses.replace(
        TINY, model=str(folder), weights=weights, documents=str(pictures), **NO_SHAPE
    )
    adapter = classification_adapter(config, CPU)
    comp = run(config, tmp_path / "run").losses
    images, labels = inputs(adapter)
    if weights == "pretrained":
        model = AutoModelForImageClassification.from_pretrained(folder)
        ref = [model(x, labels=y).loss.item() for x, y in zip(images, labels, strict=True)]
        np.testing.assert_allclose(comp.values[0], ref, atol=1e-5)
    assert comp.values[-1].mean() < comp.values[0].mean()


def test_classes_are_matched_to_outputs(tmp_path):
    folder = vit(tmp_path / "vit", labels=("cat", "ant", "dog", "bee"))
    config = dataclasses.replace(TINY, model=str(folder), weights="pretrained", **NO_SHAPE)
    own = build_classifier(config, ("ant", "bee"))
    assert targets(("ant", "bee"), own, config) == ([1, 3], "by name")
    assert targets(("w", "x", "y", "z"), own, config) == ([0, 1, 2, 3], "by position")
    assert targets(("2", "0"), own, config) == ([2, 0], "by number")
    assert "Fix: classes='images'" in refusal(lambda: targets(("ant", "eel"), own, config))
    assert "Fix: classes='images'" in refusal(lambda: targets(("4", "0"), own, config))
    new = build_classifier(dataclasses.replace(config, classes="images"), ("ant", "eel"))
    assert targets(("ant", "eel"), new, config)[0] == [0, 1]
    assert new.model.classifier.out_features == 2
    assert torch.equal(new.model.vit.layernorm.weight, own.model.vit.layernorm.weight)


def test_without_torchvision_only_its_own_networks_are_lost(monkeypatch, tmp_path, pictures):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("llm.vision.pair.metadata.version", missing)
    config = dataclasses.replace(TINY, documents=str(pictures))
    assert "without torchvision" in refusal(lambda: run(config, tmp_path / "run"))
    folder = vit(tmp_path / "vit")
    hub = dataclasses.replace(config, model=str(folder), epochs=1, steps=1, **NO_SHAPE)
    assert run(hub, tmp_path / "hub").losses.values.shape == (4, 3)


def test_torchvision_is_loaded_only_where_it_is_used():
    code = (
        "import sys, llm, llm.commands, llm.vision.images, llm.vision.classification, llm.vision.zoo\n"
        "llm.preset('fig7b-vit'); assert not {'torchvision', 'torch', 'PIL'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_model_of_timm_without_timm(monkeypatch, tmp_path, pictures):
    """Its public folders have no model_type of transformers but timm's architecture."""
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.setattr("transformers.utils.import_utils.is_timm_available", lambda: False)
    folder = tmp_path / "timm"
    folder.mkdir()
    settings = {"architecture": "test_vit", "num_classes": 1000, "pretrained_cfg": {"tag": "r160_in1k"}}
    (folder / "config.json").write_text(json.dumps(settings))
    config = dataclasses.replace(TINY, model=str(folder), documents=str(pictures), **NO_SHAPE)
    assert "Fix: pip install timm" in refusal(lambda: run(config, tmp_path / "run"))
