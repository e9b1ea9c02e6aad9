"""The kinds of task by name: the one place that knows them all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm.config import RunConfig

if TYPE_CHECKING:
    import torch

    from llm.tasks.protocol import TaskAdapter

__all__ = ["make_adapter"]


def make_adapter(config: RunConfig, device: torch.device) -> TaskAdapter:
    """The tasks of a configuration, on the device.

    Raises:
        InputError: for anything in the configuration that cannot be read, built or fitted into memory.
    """
    if config.task == "image-modelling":
        from llm.vision.modelling import modelling_adapter

        return modelling_adapter(config, device)
    if config.task == "classification":
        from llm.vision.classification import classification_adapter

        return classification_adapter(config, device)
    from llm.tasks.language import language_adapter

    return language_adapter(config, device)
