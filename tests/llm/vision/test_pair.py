"""Torchvision goes with one version of torch."""

import importlib.metadata
import sys

import pytest
import torch

from llm.vision.pair import check_pair
from tests.llm.given import refusal


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
