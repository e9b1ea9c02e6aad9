"""Causal image modelling: tokens, checkpoints and losses are the library's, the run a plain loop's."""

import dataclasses
import json

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import ImageGPTForCausalImageModeling, ImageGPTImageProcessorPil

from llm import RunConfig, preset, run
from llm.vision.modelling import SHAPES, attend_in_one_piece, build_imagegpt, modelling_adapter
from llm.vision.palette import common_colours, encode, scaled
from tests.llm.given import refusal
from tests.llm.pictures import imagegpt
from tests.llm.recorders import recorded_and_plain
from tests.llm.stopped import killed_and_whole
from tests.oracles import plain_language_run

CPU = torch.device("cpu")
TINY = RunConfig(
    task="image-modelling", width=16, depth=2, heads=2, image_size=5, num_documents=3, steps=3, epochs=2,
    optimizer="adam", lr=1e-3, seed=2, device="cpu",
)  # fmt: skip


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return imagegpt(tmp_path_factory.mktemp("models") / "imagegpt")


@pytest.fixture(scope="module")
def pretrained(checkpoint, pictures):
    return dataclasses.replace(
        TINY, model=str(checkpoint), weights="pretrained", documents=str(pictures), width=None, depth=None,
        heads=None, image_size=None,
    )  # fmt: skip


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 4, 7]))
def test_tokens_are_those_of_the_librarys_processor(seed, width, height, side):
    rng = np.random.default_rng(seed)
    image = PIL.Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
    palette = rng.uniform(-1, 1, (512, 3))
    processor = ImageGPTImageProcessorPil(clusters=palette, size={"height": side, "width": side})
    ref = processor(images=image)["input_ids"][0]
    np.testing.assert_array_equal(encode(scaled(image, side), palette), ref)


def test_a_palette_for_untrained_weights():
    rng = np.random.default_rng(1)
    pixels = rng.choice(rng.uniform(-1, 1, (200, 3)), 3000).astype(np.float32)
    palette = common_colours(pixels, 16, seed=3)
    assert palette.shape == (16, 3)
    np.testing.assert_array_equal(palette, common_colours(pixels, 16, seed=3))
    error = ((pixels - palette[encode(pixels, palette)]) ** 2).sum(1).mean()
    guess = np.unique(pixels, axis=0)[:16].astype(np.float64)
    assert error < 0.9 * ((pixels - guess[encode(pixels, guess)]) ** 2).sum(1).mean()
    few = common_colours(pixels[:5], 16, seed=3)  # fewer colours than the palette holds: each is exact
    np.testing.assert_allclose(few[encode(pixels[:5], few)], pixels[:5])


def test_public_shapes():
    sizes = {"imagegpt-small": 76e6, "imagegpt-medium": 455e6, "imagegpt-large": 1.36e9}  # Chen et al. 2020
    for name, expected in sizes.items():
        with torch.device("meta"):
            model, _ = build_imagegpt(RunConfig(task="image-modelling", model=name))
        assert sum(p.numel() for p in model.parameters()) == pytest.approx(expected, rel=0.015)
        assert SHAPES[name][3:] == (512, 32)


def test_fused_attention_is_the_librarys(checkpoint):
    tokens = torch.randint(0, 16, (2, 36), generator=torch.Generator().manual_seed(1))
    found = []
    for fused in (False, True):
        model = ImageGPTForCausalImageModeling.from_pretrained(checkpoint).eval()
        if fused:
            for block in model.transformer.h:
                attend_in_one_piece(block.attn)
        loss = model(input_ids=tokens, labels=tokens).loss
        loss.backward()
        found.append([loss.item(), *(p.grad.clone() for p in model.parameters())])
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-6)
    for ref, comp in zip(found[0][1:], found[1][1:], strict=True):
        torch.testing.assert_close(comp, ref, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_checkpoints_run_is_a_plain_loops(pretrained, tmp_path, optimizer):
    config = dataclasses.replace(pretrained, optimizer=optimizer, lr=0.02 if optimizer == "sgd" else 1e-3)
    comp = run(config, tmp_path / "run")
    assert comp.manifest["tasks"]["palette"] == "the checkpoint's"
    # Dropout is off: the library's own model without any.
    model = ImageGPTForCausalImageModeling.from_pretrained(
        config.model, attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0
    )
    processor = ImageGPTImageProcessorPil.from_pretrained(config.model)
    files = [f"{config.documents}/{name}" for name in comp.manifest["tasks"]["names"]]
    tokens = [processor(images=PIL.Image.open(file))["input_ids"][0].tolist() for file in files]
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[optimizer]
    order = comp.losses.order.ravel()
    ref = plain_language_run(model, tokens, order, config.steps, lambda p: kind(p, lr=config.lr))
    assert np.ptp(ref, axis=0).min() > 0.01
    np.testing.assert_allclose(comp.losses.values, ref, atol=1e-4)


def test_dropout_is_on_by_flag_alone(pretrained, tmp_path):
    off = run(pretrained, tmp_path / "off").losses.values
    on = run(dataclasses.replace(pretrained, dropout=True), tmp_path / "on").losses.values
    np.testing.assert_array_equal(on[0], off[0])  # evaluation never drops
    assert not np.allclose(on[1:], off[1:], atol=1e-3)


def test_a_recorded_run_is_a_plain_one():
    plain, recorded = recorded_and_plain(modelling_adapter, TINY)
    torch.testing.assert_close(plain, recorded, rtol=0, atol=0)


def test_killed_and_resumed(tmp_path):
    config = dataclasses.replace(TINY, dropout=True, epochs=4)
    np.testing.assert_array_equal(*killed_and_whole(config, tmp_path))


@pytest.mark.parametrize("size", ["small", "medium"])
def test_presets(size, tmp_path):
    config = preset(f"fig7a-{size}")
    expected = RunConfig(
        task="image-modelling", model=f"imagegpt-{size}", weights="pretrained", documents="cifar10",
        num_documents=25, steps=10, epochs=5, optimizer="adam", lr=1e-3, reset_optimizer=True, dropout=False,
    )  # fmt: skip
    assert config == expected
    small = dataclasses.replace(preset(f"fig7a-{size}-embedded"), image_size=4, num_documents=3, steps=1)
    result = run(dataclasses.replace(small, epochs=1, device="cpu"), tmp_path / "run")
    # Before training every one of the 64 colours is about as likely.
    assert result.losses.values[0].mean() == pytest.approx(np.log(64), abs=0.2)
    assert result.manifest["model"]["parameters"] > {"small": 0.8e6, "medium": 2.6e6}[size]


@pytest.mark.parametrize("name", ["fig7a-small-embedded", "fig7b-vit-embedded"])
def test_the_second_version_computes_images_as_the_first_and_says_so(tmp_path, name):
    small = {"num_documents": 2, "steps": 1, "epochs": 2, "optimizer": "sgd", "lr": 1e-3, "device": "cpu"}
    config = dataclasses.replace(preset(name), **small)
    first, second = (
        run(dataclasses.replace(config, version=version), tmp_path / str(version)) for version in (1, 2)
    )
    np.testing.assert_array_equal(first.losses.values, second.losses.values)
    said = second.manifest
    assert said["forward"] == "as the library has it"
    assert said["steps"] == f"gradients, each applied as soon as it exists ({config.task})"
    assert said["weights"] == (
        f"torch's generator, one parameter after another (version 2 has no other way for {config.task})"
    )
    assert first.manifest["weights"] == "torch's generator, one parameter after another"


def test_masking_hides_colours(tmp_path):
    plain, masked = (modelling_adapter(dataclasses.replace(TINY, **c), CPU)
                     for c in ({}, {"mask_probability": 0.9, "mask_up_to": False}))  # fmt: skip
    plain.load(0, 0, 0)
    masked.load(0, 0, 0)
    assert not torch.equal(plain.loss(), masked.loss())
    torch.testing.assert_close(plain.losses(), masked.losses())


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("palette missing", "has no palette"),
        ("palette of another", "palette of shape (9, 3); expected (16, 3)"),
        ("palette damaged", "cannot be read"),
        ("weights pickled", "expected weights as safetensors"),
        ("weights damaged", "cannot be loaded"),
    ],
)
def test_damaged_checkpoints_are_refused(pretrained, tmp_path, damage, words):
    folder = imagegpt(tmp_path / "model")
    settings_file, weights = folder / "preprocessor_config.json", folder / "model.safetensors"
    if damage == "palette missing":
        settings_file.unlink()
    elif damage == "palette of another":
        settings_file.write_text(json.dumps({"clusters": np.zeros((9, 3)).tolist()}))
    elif damage == "palette damaged":
        settings_file.write_text("{")
    elif damage == "weights pickled":
        torch.save({}, folder / "pytorch_model.bin")
        weights.unlink()
    else:
        weights.write_bytes(weights.read_bytes()[:300])
    config = dataclasses.replace(pretrained, model=str(folder))
    assert words in refusal(lambda: run(config, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": "imagegpt-smal"}, "Fix: model='imagegpt-small'"),
        ({"model": "pythia-14m"}, "Fix: task='language'"),
        ({"model": "vgg19"}, "Fix: task='classification'"),
        ({"heads": 3}, "Fix: heads=2"),
        ({"freeze_blocks": 3}, "at most the model's 2 blocks"),
        ({"weights": "pretrained"}, "has no pretrained weights"),
        ({"num_documents": 101}, "holds 100 image(s)"),
    ],
)
def test_settings_that_do_not_fit(change, words, tmp_path):
    if "weights" in change:
        change = change | {"width": None, "depth": None, "heads": None, "image_size": None}
    config = dataclasses.replace(TINY, **change)
    assert words in refusal(lambda: run(config, tmp_path / "run"))


def test_shape_and_pretrained_weights_exclude_each_other(pretrained, tmp_path):
    config = dataclasses.replace(pretrained, image_size=4)
    assert "image_size with pretrained weights" in refusal(lambda: run(config, tmp_path / "run"))


def test_blocks_can_be_frozen():
    model, _ = build_imagegpt(dataclasses.replace(TINY, freeze_blocks=1, freeze_embeddings=True))
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert {name.split(".")[1] for name in frozen} == {"h", "wte"}
    assert {name.split(".")[2] for name in frozen if ".h." in name} == {"0"}
