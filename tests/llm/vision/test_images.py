"""Images from every source come out as the same RGB pictures; bad ones are named in one line."""

import numpy as np
import PIL.Image
import pytest

import llm.data.hub
from llm import RunConfig, preset
from llm.vision.images import choose_images, open_images
from llm.vision.listing import list_images, prefetch_images
from tests.llm.given import refusal
from tests.llm.pictures import dataset, picture, png, write_folder

CLASSES = RunConfig(task="classification", batch=2, num_documents=3)
PIXELS = RunConfig(task="image-modelling", num_documents=3)


def source(path, **changes):
    return open_images(RunConfig(task="classification", documents=str(path), **changes))


def same(image, other):
    return np.array_equal(np.asarray(image), np.asarray(other))


def test_a_folder_per_class(tmp_path):
    found = source(write_folder(tmp_path))
    assert (found.size, found.classes) == (12, ("ant", "bee", "cat"))
    assert [found.checked_label(i) for i in range(12)] == [0] * 4 + [1] * 4 + [2] * 4
    assert found.name(5) == "bee/1.png"
    assert same(found.rgb(5), picture(101))


def test_splits_of_a_folder(tmp_path):
    write_folder(tmp_path / "train", each=2)
    write_folder(tmp_path / "val", each=1)
    assert source(tmp_path).size == 6
    assert source(tmp_path, documents_split="validation").size == 3
    assert "Fix: documents_split='train'" in refusal(lambda: source(tmp_path, documents_split="test"))


def test_saved_and_packed_datasets(tmp_path):
    table = dataset([0, 2, 1, 1])
    table.save_to_disk(tmp_path / "saved")
    table.to_parquet(tmp_path / "packed.parquet")
    for path in (tmp_path / "saved", tmp_path / "packed.parquet"):
        found = source(path)
        assert found.classes == ("ant", "bee", "cat")
        assert [found.checked_label(i) for i in range(4)] == [0, 2, 1, 1]
        assert all(same(found.rgb(i), picture(i)) for i in range(4))


@pytest.mark.parametrize(
    ("name", "asked", "column"),
    [("cifar10", "uoft-cs/cifar10", "label"), ("cifar100", "uoft-cs/cifar100", "fine_label"),
     ("imagenet", "ILSVRC/imagenet-1k", "label"), ("some/pictures", "some/pictures", "kind")],
)  # fmt: skip
def test_datasets_of_the_hub(monkeypatch, name, asked, column):
    def load(name, subset, split, revision, task):
        assert (name, subset, split, revision) == (asked, None, "validation", "main")
        assert task == "classification"
        return dataset([1, 0], column=column), {"name": name, "revision": "abc"}

    monkeypatch.setattr(llm.data.hub, "load_hub_dataset", load)
    config = RunConfig(
        task="classification", documents=name, documents_split="validation", documents_revision="main"
    )
    found = open_images(config)
    assert [found.checked_label(i) for i in range(2)] == [1, 0]
    assert same(found.rgb(1), picture(1))
    assert prefetch_images(config) == {"images": f"{asked} at abc: 2 images"}


def test_kinds_of_pixels(tmp_path):
    colour = picture(7)
    grey = colour.convert("L")
    half = np.full((colour.height, colour.width), 128, np.uint8)
    transparent = colour.copy()
    transparent.putalpha(PIL.Image.fromarray(half))
    palette = colour.quantize(8)
    palette.info["transparency"] = bytes(range(8))
    deep = PIL.Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    kinds = {"grey": grey, "transparent": transparent, "palette": palette, "deep": deep,
             "bits": colour.convert("1"), "print": colour.convert("CMYK")}  # fmt: skip
    for name, image in kinds.items():
        image.save(tmp_path / f"{name}.{'jpg' if name == 'print' else 'png'}", quality=100)
    found = source(tmp_path)
    got = {found.name(i).split(".")[0]: found.rgb(i) for i in range(found.size)}
    assert set(got) == set(kinds)
    assert {image.mode for image in got.values()} == {"RGB"}
    assert same(got["grey"], grey.convert("RGB"))
    assert same(got["transparent"], colour)
    assert same(got["palette"], colour.quantize(8).convert("RGB"))
    assert same(got["deep"], got["grey"])
    assert np.abs(np.asarray(got["print"], int) - np.asarray(colour)).mean() < 6


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("cut.png", png(picture(1, 90, 90))[:500], "cut.png"),
        ("text.jpg", b"no image at all", "text.jpg"),
        ("empty.png", b"", "empty.png"),
        ("thin.png", png(picture(1, 400, 3)), "400 x 3 pixels"),
        ("wide.tif", None, "32 bits"),
    ],
)
def test_bad_images_are_named(tmp_path, name, content, words):
    if content is None:
        PIL.Image.fromarray(np.zeros((9, 9), np.float32)).save(tmp_path / name)
    else:
        (tmp_path / name).write_bytes(content)
    found = source(tmp_path)
    assert words in refusal(lambda: found.rgb(0))


def test_an_image_beyond_all_measure(tmp_path, monkeypatch):
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 100)
    picture(1).save(tmp_path / "huge.png")
    assert "huge.png" in refusal(lambda: source(tmp_path).rgb(0))


def test_labels_that_are_no_class(tmp_path):
    dataset([0, -1]).save_to_disk(tmp_path / "set")
    found = source(tmp_path / "set")
    assert "class label -1; expected 0 to 2" in refusal(lambda: found.checked_label(1))
    picture(1).save(tmp_path / "flat.png")
    assert "has no classes" in refusal(lambda: source(tmp_path).checked_label(0))


def test_too_few_images(tmp_path):
    found = source(write_folder(tmp_path))
    config = RunConfig(task="classification", documents=str(tmp_path), batch=5, num_documents=3)
    assert "Fix: num_documents=2" in refusal(lambda: choose_images(found, config, 15))
    config = RunConfig(task="image-modelling", documents=str(tmp_path), num_documents=13)
    assert "Fix: num_documents=12" in refusal(lambda: choose_images(found, config, 13))


def test_unknown_and_empty_sources(tmp_path):
    assert "Fix: documents='cifar10'" in refusal(lambda: source("cifra10"))
    assert "holds no images" in refusal(lambda: source(tmp_path))


def test_images_are_drawn_by_the_seed_or_in_order(tmp_path):
    found = source(write_folder(tmp_path))
    drawn = [choose_images(found, RunConfig(task="classification", seed=s), 8) for s in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 8
    ordered = RunConfig(task="classification", selection="order")
    assert choose_images(found, ordered, 8) == list(range(8))


def test_embedded_images_are_real_and_different():
    for config, size in ((PIXELS, 100), (CLASSES, 1600)):
        found = open_images(config)
        assert found.size == size
        images = {np.asarray(found.rgb(i)).tobytes() for i in range(0, size, 7)}
        assert len(images) == len(range(0, size, 7))
        labels = [found.checked_label(i) for i in range(size)]
        assert np.bincount(labels).tolist() == [size // 100] * 100
    first = np.asarray(found.rgb(0))
    assert first.shape == (64, 64, 3)
    assert first.std() > 10
    assert found.origin["photograph_sha256"]


def test_images_of_a_run_are_listed(tmp_path):
    write_folder(tmp_path)
    config = RunConfig(
        task="classification", documents=str(tmp_path), batch=2, num_documents=3, selection="order"
    )
    lines = list_images(config).splitlines()
    assert len(lines) == 6
    assert lines[4].split() == ["2", "bee/0.png", "class", "bee"]
    assert prefetch_images(preset("fig7b-vit-embedded")) == {}


@pytest.mark.parametrize(
    "change",
    [{"context": 32}, {"window_shift": 3}, {"tokenizer": "x"}, {"mask_probability": 0.1}, {"init": "normal"},
     {"vocabulary": "tokenizer"}, {"freeze_blocks": 1}],
)  # fmt: skip
def test_settings_of_texts_are_refused_for_batches(change):
    words = refusal(lambda: RunConfig(task="classification", **change))
    assert words.startswith(f"{next(iter(change))}=")
    assert "with task='classification'" in words
