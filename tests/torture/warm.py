"""Loads what every child needs before the first one is forked."""

from tests.torture import scenes
from toymodel.kernels import sweep_kernel

__all__ = ["scenes"]

sweep_kernel()
