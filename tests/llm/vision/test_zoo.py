"""Networks and state dicts of torchvision."""

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.models
from safetensors.torch import save_file

from llm import RunConfig, run
from llm.vision.classification import classification_adapter
from llm.vision.zoo import recipe
from tests.llm.given import refusal
from tests.llm.vision.small import CPU, NO_SHAPE, TINY, VGG, inputs


@pytest.mark.parametrize(("config", "suffix"), [(TINY, ".pth"), (VGG, ".pth"), (VGG, ".safetensors")])
def test_state_dicts_of_torchvision(config, suffix, tmp_path, pictures):
    config = dataclasses.replace(config, documents=str(pictures))
    torch.manual_seed(99)
    model = recipe(config).build(3)
    file = tmp_path / f"weights{suffix}"
    save_file(model.state_dict(), file) if suffix == ".safetensors" else torch.save(model.state_dict(), file)
    config = dataclasses.replace(config, weights="pretrained", weights_file=str(file), epochs=1)
    adapter = classification_adapter(config, CPU)
    loss = torch.nn.functional.cross_entropy
    model.eval()
    expected = torch.stack([loss(model(x), y).detach() for x, y in zip(*inputs(adapter), strict=True)])
    comp = run(config, tmp_path / "run").losses.values[0]
    np.testing.assert_allclose(comp, expected, atol=1e-5)


def test_the_vgg_state_dict_has_torchvisions_names():
    with torch.device("meta"):
        ref = torchvision.models.vgg19()
    comp = recipe(VGG).build(3)
    assert list(comp.state_dict()) == list(ref.state_dict())
    assert len([m for m in comp.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]) == 19


@pytest.mark.parametrize("name", ["vit_b_32", "vgg19", "squeezenet1_1"])
def test_networks_of_torchvision_by_name(name):
    config = RunConfig(task="classification", model=name)
    with torch.device("meta"):
        model = recipe(config).build(1000)
        ref = torchvision.models.get_model(name, weights=None)
    assert {k: v.shape for k, v in model.state_dict().items()} == {
        k: v.shape for k, v in ref.state_dict().items()
    }


class Payload:
    """What would run if a pickle were loaded."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return (Path.touch, (Path(self.file),))


@pytest.mark.parametrize("damage", ["code", "cut", "text", "list", "other", "missing", "kind"])
def test_bad_state_dicts_are_refused(tmp_path, damage):
    file = tmp_path / ("weights.bin" if damage == "kind" else "weights.pth")
    state = recipe(VGG).build(100).state_dict()
    if damage == "code":
        with file.open("wb") as out:
            pickle.dump({"features.0.weight": Payload(tmp_path / "it_ran")}, out, protocol=2)
    elif damage == "text":
        file.write_text("no weights")
    elif damage != "missing":
        values = {"list": [1, 2], "other": {"a": torch.ones(2)}}
        torch.save(values.get(damage, state), file)
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:2000])
    config = dataclasses.replace(VGG, weights="pretrained", weights_file=str(file))
    words = refusal(lambda: run(config, tmp_path / "run"))
    assert words.startswith("the weights do not fit" if damage == "other" else "weights_file")
    assert not (tmp_path / "it_ran").exists()
    assert not (tmp_path / "run").exists()


def test_weights_that_cannot_be_downloaded(monkeypatch, tmp_path):
    def unreachable(url, *args, **kwargs):
        assert kwargs["weights_only"]
        assert kwargs["check_hash"]
        raise OSError("Name or service not known")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", unreachable)
    config = dataclasses.replace(TINY, model="vgg19", weights="pretrained", **NO_SHAPE)
    words = refusal(lambda: run(config, tmp_path / "run"))
    assert "prefetch(RunConfig(task='classification', weights='pretrained', model='vgg19'))" in words
    assert "weights_file='vgg19-dcbb9e9d.pth'" in words
