"""Why a GPU cannot be used, in one line each."""

import pytest
import torch

from llm import RunConfig
from llm.steps.device import check_precision, require_gpu, run_device
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
        InputError, match=r"device='cuda' with torch 2\.4\.1\+cu121; expected torch 2\.6 or newer"
    ):
        require_gpu()


def test_a_precision_that_the_device_has_not(monkeypatch):
    for precision in ("ieee", "bf16"):
        assert run_device(RunConfig(device="cpu", precision=precision)) == torch.device("cpu")
    with pytest.raises(InputError, match="precision='tf32' on a CPU, which has none; .*ieee"):
        run_device(RunConfig(device="cpu", precision="tf32"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    check_precision("ieee", torch.device("cuda"))
    for precision in ("tf32", "bf16"):
        with pytest.raises(InputError, match=f"precision={precision!r} on Tesla T4, which has none"):
            check_precision(precision, torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    check_precision("tf32", torch.device("cuda"))
