"""Where a run computes; whether this machine has a GPU that the installed torch can use, and if not, why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm.config import RunConfig
from toymodel.base.errors import InputError
from toymodel.base.words import arg, first_line

if TYPE_CHECKING:
    import torch

__all__ = ["check_precision", "require_gpu", "run_device"]

_OLDEST = (2, 6)  # as in pyproject.toml
_REDUCED = (8, 0)  # compute capability from which a GPU multiplies in TF32 and bfloat16


def require_gpu(asked: str = "") -> str:
    """Name of the GPU.

    Args:
        asked: what needs one, in words; the setting of a run if empty.

    Raises:
        InputError: without a GPU, without a torch that was built for one, or with a torch or a driver that
            is too old.
    """
    import torch

    asked = asked or arg("device", "cuda")
    version = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if version < _OLDEST:
        wanted = ".".join(map(str, _OLDEST))
        raise InputError(asked + f" with torch {torch.__version__}", expected=f"torch {wanted} or newer",
                         fix=f"pip install 'torch>={wanted}'")  # fmt: skip
    if torch.version.cuda is None:
        raise InputError(
            asked + f" with torch {torch.__version__}, which was built without CUDA",
            expected="a build of torch for CUDA",
            fix="pip install torch, or " + arg("device", "cpu"),
        )
    try:
        torch.cuda.init()
        name: str = torch.cuda.get_device_name()
        torch.zeros(1, device="cuda").sum().item()  # a kernel runs: the build knows this GPU
    except (RuntimeError, AssertionError) as error:
        words = first_line(error)
        if "driver" in words.lower() and "old" in words.lower():
            raise InputError(
                asked + f": {words}",
                expected=f"a driver for CUDA {torch.version.cuda}, which torch was built for",
                fix="a newer driver, or an older torch that was built for this one",
            ) from error
        raise InputError(
            asked + f": {words}",
            expected="a machine with a CUDA GPU that torch can use",
            fix=arg("device", "cpu"),
        ) from error
    return name


def run_device(config: RunConfig) -> torch.device:
    """Where a run computes.

    Raises:
        InputError: for a GPU that is not there, or a precision that the device has not.
    """
    import torch

    if config.device == "cuda":
        require_gpu()
    device = torch.device("cuda" if config.device != "cpu" and torch.cuda.is_available() else "cpu")
    check_precision(config.precision, device)
    return device


def check_precision(precision: str, device: torch.device) -> None:
    """That a device computes in a precision, rather than in another one under its name.

    Raises:
        InputError: for TF32 on a CPU, TF32 or bfloat16 on a GPU that is older than they are.
    """
    import torch

    if device.type == "cuda":
        name, able = torch.cuda.get_device_name(device), torch.cuda.get_device_capability(device) >= _REDUCED
    else:
        name, able = "a CPU", precision != "tf32"  # which computes in bfloat16, if slowly
    if precision != "ieee" and not able:
        raise InputError(
            arg("precision", precision) + f" on {name}, which has none",
            expected="a precision of the device",
            fix=arg("precision", "ieee"),
        )
