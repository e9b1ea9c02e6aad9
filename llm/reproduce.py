"""The commands that make runs again."""

from __future__ import annotations

from functools import cache
from typing import Any

from llm.config import RunConfig
from llm.presets import FORMS, PRESETS, Preset, family
from toymodel.base.words import arg, in_flags

__all__ = ["every_preset", "made_by", "run_command", "sweep_command"]


def sweep_command(name: str, out: str = "runs") -> str:
    """The command that makes the runs of a family in one form."""
    return f"reawaken llm sweep --presets {name} --seeds 0 1 2 --out {out}"


def run_command(config: RunConfig, preset: Preset, out: str = "RUN") -> str:
    """The command that makes exactly this run, from the settings of a preset."""
    words = [f"reawaken llm run --preset {preset.name}"]
    mine, theirs = config.to_json(), preset.config.to_json()
    for name, value in mine.items():
        if value != theirs[name]:
            words.append(in_flags(arg(name, value)))
    return " ".join([*words, f"--out {out}"])


def made_by(config: RunConfig, out: str = "RUN") -> str:
    """The command that makes exactly this run, from the preset of any form that needs fewest flags."""
    mine = config.to_json()
    nearest, _ = min(_settings(), key=lambda known: sum(mine[k] != v for k, v in known[1].items()))
    return run_command(config, nearest, out)


@cache
def every_preset() -> tuple[Preset, ...]:
    """Every preset in every form, the paper's own first."""
    names = dict.fromkeys(preset.family for preset in PRESETS.values())
    return tuple(member for form in FORMS for name in names for member in family(name + form))


@cache
def _settings() -> tuple[tuple[Preset, dict[str, Any]], ...]:
    return tuple((preset, preset.config.to_json()) for preset in every_preset())
