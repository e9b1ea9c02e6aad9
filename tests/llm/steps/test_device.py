"""Why a GPU cannot be used, in one line each."""

import pytest
import torch

from llm.steps.device import require_gpu
from toymodel import InputError

GPU_ERRORS = [
    ("The NVIDIA driver on your system is too old (found version 11040).", "a driver for CUDA"),
    ("No CUDA GPUs are available", "a machine with a CUDA GPU"),
    ("CUDA error: no kernel image is available for execution on the device", "a machine with a CUDA GPU"),
]


@pytest.mark.parametrize(("words", "expected"), GPU_ERRORS)
def test_why_there_is_no_gpu(monkeypatch, words, expected):
    def init():
        raise RuntimeError(words + "\nMore.")

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "init", init)
    with pytest.raises(InputError, match=expected) as error:
        require_gpu()
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_torch_that_cannot(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(InputError, match="built without CUDA"):
        require_gpu()
    monkeypatch.setattr(torch, "__version__", "2.4.1+cu121")
    with pytest.raises(
        InputError, match=r"--device cuda with torch 2\.4\.1\+cu121; expected torch 2\.6 or newer"
    ):
        require_gpu()
