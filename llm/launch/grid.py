"""Lists of configurations: every combination of seeds and of the values that fields vary over."""

from __future__ import annotations

import dataclasses
import itertools
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from llm.config import RunConfig
from toymodel.base.errors import InputError
from toymodel.base.words import arg, nearest

__all__ = ["expand", "parse_grid"]


def expand(
    bases: Sequence[RunConfig],
    seeds: Sequence[int] = (),
    grid: Mapping[str, Sequence[Any]] | None = None,
) -> list[RunConfig]:
    """Every base with every seed and every point of the grid; equal ones once.

    Args:
        bases: configurations to start from (presets).
        seeds: seeds to run each with; each base's own if none.
        grid: values by field, e.g. ``{"lr": [1e-3, 1e-4]}``.
    """
    axes = dict(grid or {})
    if seeds:
        axes["seed"] = list(seeds)
    configs = [
        dataclasses.replace(base, **dict(zip(axes, values, strict=True)))
        for base in bases
        for values in itertools.product(*axes.values())
    ]
    return list({config.id: config for config in configs}.values())


def parse_grid(items: Sequence[str]) -> dict[str, list[Any]]:
    """A grid written as ``field=value`` or ``field=value,value,...``.

    Raises:
        InputError: for an unknown field, with the nearest one, or a value of the wrong kind.
    """
    kinds = typing.get_type_hints(RunConfig)
    found: dict[str, list[Any]] = {}
    for item in items:
        name, equals, values = item.partition("=")
        name = name.strip().lstrip("-").replace("-", "_")
        if not equals or name not in kinds:
            near = nearest(name, kinds)
            raise InputError(
                arg("vary", item),
                expected="FIELD=VALUE[,VALUE...] with a field of a run",
                fix=arg("vary", f"{near}=..."),
            )
        found[name] = [_value(name, kinds[name], text) for text in values.split(",")]
    return found


def _value(name: str, kind: Any, text: str) -> Any:
    """Text as a value of a field's type; ``none`` where the field may be empty."""
    options = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    text = text.strip()
    if type(None) in options and text.lower() == "none":
        return None
    plain = next(option for option in options if option is not type(None))
    if typing.get_origin(plain) is tuple:
        item = typing.get_args(plain)[0]
        return tuple(_value(name, item, part) for part in text.split("+") if part)
    if typing.get_origin(plain) is Literal:
        return text  # the configuration itself knows the choices
    try:
        if plain is bool:
            return {"true": True, "false": False}[text.lower()]
        return plain(text)
    except (ValueError, KeyError) as error:
        word = {"bool": "true or false", "int": "an integer", "float": "a number"}.get(plain.__name__, "text")
        raise InputError(
            arg("vary", f"{name}={text}"), expected=word, fix=arg("vary", f"{name}=...")
        ) from error
