"""Classification: a plain loop over single images is the oracle; checkpoints of every public format load."""

import copy
import dataclasses
import importlib.metadata
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.models
from safetensors.torch import save_file
from transformers import AutoModelForImageClassification

from llm import RunConfig, preset, run
from llm.probes import make_probes
from llm.steps.optimizers import make_optimizer
from llm.steps.step import EagerStep
from llm.vision.classification import classification_adapter
from llm.vision.classifiers import build_classifier, targets
from llm.vision.pair import check_pair
from llm.vision.zoo import recipe
from tests.llm.given import refusal
from tests.llm.pictures import picture, vit, write_folder
from tests.llm.recorders import recorded_and_plain
from tests.llm.stopped import killed_and_whole
from tests.oracles import plain_classification

CPU = torch.device("cpu")
TINY = RunConfig(
    task="classification", model="embedded-vit", width=16, depth=2, heads=2, feed_forward=32, image_size=16,
    num_documents=3, batch=4, steps=2, epochs=2, optimizer="adam", lr=1e-3, seed=1, device="cpu",
)  # fmt: skip
NO_SHAPE = {"width": None, "depth": None, "heads": None, "feed_forward": None, "image_size": None}
VGG = dataclasses.replace(TINY, model="embedded-vgg", **NO_SHAPE)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("images"))


def inputs(adapter):
    """Images and labels of every task, from the buffers."""
    found = []
    for task in range(adapter.tasks):
        adapter.load(task)
        found.append((adapter.inputs.clone(), adapter.targets.clone()))
    return [x for x, _ in found], [y for _, y in found]


@pytest.mark.parametrize(
    ("config", "optimizer", "lr"),
    [(TINY, "adam", 1e-3), (TINY, "sgd", 0.03), (VGG, "sgd", 0.01)],
)
def test_a_run_is_a_plain_loop_over_single_images(config, optimizer, lr, tmp_path):
    config = dataclasses.replace(config, optimizer=optimizer, lr=lr)
    comp = run(config, tmp_path / "run").losses
    adapter = classification_adapter(config, CPU)
    kind = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[optimizer]
    model = adapter.model.eval()  # neither drops nor normalises by the batch
    ref = plain_classification(
        model, *inputs(adapter), comp.order.ravel(), config.steps, lambda p: kind(p, lr=config.lr)
    )
    assert np.ptp(ref, axis=0).min() > 0.005
    np.testing.assert_allclose(comp.values, ref, atol=1e-4)


def test_a_vgg_with_adam_is_a_plain_loop_in_double_precision(monkeypatch):
    """In single precision Adam makes rounding grow twentyfold per episode in VGG's deep stack of ReLUs: the
    plain loop itself, its images in another order, is off by 1e-7 after four episodes and 4e-5 after six.
    """
    monkeypatch.setattr("llm.vision.classification.logits", lambda model, pixels: model(pixels))
    adapter = classification_adapter(VGG, CPU)
    adapter.model.double()
    adapter.images, adapter.inputs = adapter.images.double(), adapter.inputs.double()
    images, labels = inputs(adapter)
    model = copy.deepcopy(adapter.model).eval()
    order = [0, 1, 2, 0, 1, 2]
    ref = plain_classification(model, images, labels, order, 2, lambda p: torch.optim.Adam(p, lr=1e-3))
    step = EagerStep(adapter, make_optimizer(VGG, adapter.model))
    rows = [step.evaluate()]
    for episode, task in enumerate(order):
        step.reset_optimizer()
        step.train(task, 2, episode)
        rows.append(step.evaluate())
    assert np.ptp(ref, axis=0).min() > 0.1
    np.testing.assert_allclose(torch.stack(rows), ref, atol=1e-6)


def test_evaluation_is_the_same_in_pieces(monkeypatch):
    adapter = classification_adapter(dataclasses.replace(TINY, num_documents=5), CPU)
    whole = adapter.losses()
    monkeypatch.setattr("llm.vision.classification._BUDGET", {"cpu": 1})
    torch.testing.assert_close(adapter.losses(), whole)


def test_images_are_prepared_by_the_weights_own_transforms(pictures):
    config = RunConfig(task="classification", model="vgg19", documents=str(pictures))
    found = recipe(config)
    image = picture(3, 301, 280)
    own = torchvision.models.VGG19_Weights.IMAGENET1K_V1.transforms()
    assert (own.resize_size, own.crop_size) == ([256], [224])
    torch.testing.assert_close(found.transform(image), own(image), rtol=0, atol=0)
    small = recipe(dataclasses.replace(config, image_size=112)).transform
    assert (small.resize_size, small.crop_size) == ([128], [112])


def test_batch_norm_learns_in_training_alone(pictures):
    config = dataclasses.replace(
        TINY, model="resnet18", documents=str(pictures), classes="images", **(NO_SHAPE | {"image_size": 32})
    )
    adapter = classification_adapter(config, CPU)

    def state():
        return {k: v.clone() for k, v in adapter.model.named_buffers()}

    before = state()
    assert any("running_mean" in name for name in before)
    adapter.losses()
    assert all(torch.equal(v, before[k]) for k, v in state().items())
    adapter.load(0, 0, 0)
    training = adapter.loss()
    assert all(not torch.equal(v, before[k]) for k, v in state().items() if "running_mean" in k)
    # Training normalises by the batch, evaluation by the running statistics.
    assert not torch.isclose(training, adapter.losses()[0])


def test_dropout_is_on_in_training_by_flag_and_seeded():
    config = dataclasses.replace(VGG, dropout=True)
    adapter = classification_adapter(config, CPU)
    evaluated = adapter.losses()
    found = {}
    for episode, step in ((0, 0), (0, 1), (1, 0), (0, 0)):
        adapter.load(0, episode, step)
        loss = adapter.loss().item()
        assert found.setdefault((episode, step), loss) == loss
    assert len(set(found.values())) == 3
    torch.testing.assert_close(adapter.losses(), evaluated, rtol=0, atol=0)
    off = classification_adapter(VGG, CPU)
    off.load(0, 0, 0)
    assert off.loss().item() == pytest.approx(evaluated[0].item(), abs=1e-6)


@pytest.mark.parametrize("config", [TINY, VGG])
def test_a_recorded_run_is_a_plain_one(config):
    plain, recorded = recorded_and_plain(classification_adapter, config)
    torch.testing.assert_close(plain, recorded, rtol=0, atol=0)


def test_killed_and_resumed_with_dropout(tmp_path):
    config = dataclasses.replace(VGG, dropout=True, epochs=4)
    np.testing.assert_array_equal(*killed_and_whole(config, tmp_path))


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
    assert "Fix: --classes images" in refusal(lambda: targets(("ant", "eel"), own, config))
    assert "Fix: --classes images" in refusal(lambda: targets(("4", "0"), own, config))
    new = build_classifier(dataclasses.replace(config, classes="images"), ("ant", "eel"))
    assert targets(("ant", "eel"), new, config)[0] == [0, 1]
    assert new.model.classifier.out_features == 2
    assert torch.equal(new.model.vit.layernorm.weight, own.model.vit.layernorm.weight)


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
    assert words.startswith("the weights do not fit" if damage == "other" else "--weights-file")
    assert not (tmp_path / "it_ran").exists()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("flag", ["--model vit_b_32"])
def test_torchvision_missing_or_of_another_pair(monkeypatch, flag):
    version = torch.__version__.partition("+")[0]
    minor = int(version.split(".")[1]) + 15
    install = f"pip install torch=={version} 'torchvision==0.{minor}.*'"

    def say(found):
        def version_of(name):
            if found is None:
                raise importlib.metadata.PackageNotFoundError(name)
            return found

        monkeypatch.setattr("llm.vision.pair.metadata.version", version_of)
        return refusal(lambda: check_pair(flag))

    words = say(None)
    assert words.startswith(f"{flag} without torchvision")
    assert words.endswith(f"Fix: {install}")
    words = say(f"0.{minor - 1}.0")
    assert words.startswith(f"{flag} with torchvision 0.{minor - 1}.0")
    assert words.endswith(f"Fix: {install}")
    # The right version that does not load all the same, as a build for another torch does not.
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    words = say(f"0.{minor}.9")
    assert "cannot be loaded" in words
    assert words.endswith(f"Fix: {install.replace('install', 'install --force-reinstall')}")
    monkeypatch.undo()
    check_pair(flag)


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


@pytest.mark.parametrize(("label", "model"), [("vit", "vit_b_32"), ("vgg", "vgg19")])
def test_presets(label, model, tmp_path):
    assert preset(f"fig7b-{label}") == RunConfig(
        task="classification", model=model, weights="pretrained", documents="imagenet",
        documents_split="validation", num_documents=25, batch=32, steps=10, epochs=5, optimizer="adam",
        lr=1e-4, reset_optimizer=True, dropout=True,
    )  # fmt: skip
    small = dataclasses.replace(
        preset(f"fig7b-{label}-embedded"), num_documents=2, batch=3, steps=1, epochs=1, device="cpu"
    )
    result = run(small, tmp_path / "run")
    assert result.losses.values[0].mean() == pytest.approx(np.log(100), abs=0.3)
    assert np.shape(result.manifest["tasks"]["rows"]) == (2, 3)
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["versions"]["torchvision"]


def test_probes_see_a_classifier(tmp_path):
    config = dataclasses.replace(
        TINY, probes=("pairwise", "pca", "activations", "updates", "gradients", "residuals"),
        probe_layer="output",
    )  # fmt: skip
    assert len(make_probes(config)) == 6
    plain = run(dataclasses.replace(config, probes=()), tmp_path / "plain")
    found = run(config, tmp_path / "run")
    np.testing.assert_array_equal(found.losses.values, plain.losses.values)
    assert found.probe("pairwise")["recovery"].shape == (3, 3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": "vit_b_33", **NO_SHAPE}, "Fix: --model vit_b_3"),
        ({"model": "imagegpt-small"}, "Fix: --task image-modelling"),
        ({"model": "embedded-vgg"}, "--width with --model embedded-vgg"),
        ({"heads": 3}, "Fix: --heads 2"),
        ({"image_size": 20}, "Fix: --image-size 16"),
        ({"model": "vit_b_32", "revision": "IMAGENET1K_V9"}, "expected one of IMAGENET1K_V1"),
        ({"weights": "pretrained", **NO_SHAPE}, "--weights-file FILE"),
        ({"batch": 1000}, "1600 image(s)"),
    ],
)
def test_settings_that_do_not_fit(change, words, tmp_path):
    config = dataclasses.replace(TINY, **change)
    assert words in refusal(lambda: run(config, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_weights_that_cannot_be_downloaded(monkeypatch, tmp_path):
    def unreachable(url, *args, **kwargs):
        assert kwargs["weights_only"]
        assert kwargs["check_hash"]
        raise OSError("Name or service not known")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", unreachable)
    config = dataclasses.replace(TINY, model="vgg19", weights="pretrained", **NO_SHAPE)
    words = refusal(lambda: run(config, tmp_path / "run"))
    assert "reawaken llm prefetch --task classification --weights pretrained --model vgg19" in words
    assert "--weights-file vgg19-dcbb9e9d.pth" in words


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
