"""Where the flags of a command start from: a preset, or what suits the model that is named."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Sequence

from llm.config import RunConfig
from llm.presets import preset

__all__ = ["WithPreset"]

# Of the embedded networks for images.
_EMBEDDED = {"image-modelling": "fig7a-small-embedded", "classification": "fig7b-vit-embedded"}


class WithPreset:
    """A command whose settings take their defaults from ``--preset``.

    Args:
        function: its parameter `config` is the settings, its parameter `preset` is only for the help.
    """

    def __init__(self, function: Callable[..., None]) -> None:
        self.function = function
        self.__doc__ = function.__doc__

    def build(self, argv: Sequence[str]) -> Callable[..., None]:
        """The function with the defaults of the preset that the arguments name."""
        base = _base(*(_flag(name, argv) for name in ("--preset", "--model", "--task")))
        function = self.function

        def command(*args: object, **kwargs: object) -> None:
            function(*args, **kwargs)

        signature = inspect.signature(function)
        parameters = [
            parameter.replace(default=base) if parameter.name == "config" else parameter
            for parameter in signature.parameters.values()
        ]
        command.__dict__["__signature__"] = signature.replace(parameters=parameters)
        command.__annotations__ = typing.get_type_hints(function, include_extras=True)
        command.__doc__ = function.__doc__
        return command


def _base(name: str | None, model: str | None, task: str | None) -> RunConfig:
    """Where flags start from: a preset, or the paper's settings for the model that is named.

    The embedded networks have settings that suit them, of texts the same as in `reawaken compare`: at the
    paper's, which are Pythia's, so small a network would hardly learn.
    """
    if name is not None:
        return preset(name)
    return preset(_EMBEDDED.get(task or "", "embedded")) if model in (None, "embedded") else RunConfig()


def _flag(name: str, argv: Sequence[str]) -> str | None:
    """The value of a flag, ``--name value`` or ``--name=value``; None where it is absent."""
    for position, word in enumerate(argv):
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
        if word == name and position + 1 < len(argv):
            return argv[position + 1]
    return None
