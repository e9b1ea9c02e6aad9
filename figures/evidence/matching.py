"""When runs are of one experiment, and of which preset: settings that count, and settings that do not."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

from figures.evidence.scales import Scale, scale_of
from llm.config import RunConfig, varied
from llm.names import SHAPES
from llm.presets import FORMS, PRESETS, Preset, family
from llm.reproduce import every_preset

__all__ = [
    "FREE", "OTHER_SETTINGS", "SHAPE", "SOURCE", "Values", "by_value_of", "differing", "forms_at",
    "like_preset", "members_of", "model_name", "presets_settings", "rest_of", "value_of",
]  # fmt: skip

# Settings that say how a run was executed or what else was measured.
FREE = {"seed", "device", "precision", "version", "probes", "probe_layer", "evaluate_summaries"}
# Settings that say where documents and weights came from: the same within a group, any for a preset, unless
# they are what its family varies.
SOURCE = {"documents", "documents_subset", "documents_revision", "documents_split", "text_field",
           "selection", "tokenizer", "weights", "revision", "weights_file"}  # fmt: skip
SHAPE = {"model", "width", "depth", "heads", "feed_forward"}
# Settings in which an experiment may differ from the preset's and still be the same experiment.
OTHER_SETTINGS = {*SHAPE, "vocabulary", "num_documents", "context", "steps", "epochs", "optimizer", "lr",
                   "reset_optimizer"}  # fmt: skip

# What is left, in the order of the configuration.
_COUNTED = tuple(field.name for field in dataclasses.fields(RunConfig) if field.name not in FREE)

Values = tuple[Any, ...]


def model_name(model: str) -> str:
    """A model as prose has it: Pythia-1B; others by the last part of their name."""
    name = Path(model).name
    return f"Pythia-{name.removeprefix('pythia-').upper()}" if name.startswith("pythia-") else name


@cache
def forms_at(name: str, scale: Scale) -> tuple[str, ...]:
    """Forms of a family to compare runs of a scale with: those of that scale, or the paper's own."""
    # fig7a-small is a member, not a form.
    forms = [form for form in FORMS if not form or name + form not in PRESETS]
    return tuple(form for form in forms if scale_of(family(name + form)[0].config) == scale) or ("",)


@cache
def members_of(name: str, form: str) -> tuple[tuple[Preset, ...], tuple[str, ...], frozenset[str]]:
    """The presets, the fields that they vary, and those that set the family apart from Fig. 1's."""
    presets = tuple(family(name + form))
    fields = tuple(k for k in varied([p.config for p in presets]) if k not in FREE)
    fixed = frozenset(varied([presets[0].config, family("fig1" + form)[0].config]))
    return presets, fields, fixed - SHAPE - {"epochs"}


@cache
def by_value_of(presets: tuple[Preset, ...], fields: tuple[str, ...]) -> dict[Values, Preset]:
    """Presets by their values of what they vary; of those that coincide in a form the first."""
    found: dict[Values, Preset] = {}
    for preset in presets:
        found.setdefault(value_of(preset.config.to_json(), fields), preset)
    return found


def value_of(settings: Mapping[str, Any], fields: Sequence[str]) -> Values:
    """A run's values of some fields; frozen blocks as a part of all."""
    return tuple(_part(settings) if name == "freeze_blocks" else settings[name] for name in fields)


def _part(settings: Mapping[str, Any]) -> Any:
    """Frozen blocks as a part of all, so that networks of other depths compare."""
    frozen, shape = settings["freeze_blocks"], SHAPES.get(settings["model"])
    depth = settings["depth"] or (shape[1] if shape else None)
    return Fraction(frozen, depth) if depth else frozen


def rest_of(settings: Mapping[str, Any], without: set[str]) -> Values:
    """All settings but some, to be compared."""
    return tuple(
        (name, tuple(value) if isinstance(value, list) else value)
        for name, value in settings.items()
        if name not in without
    )


def like_preset(settings: Mapping[str, Any]) -> Values:
    """Everything that a preset prescribes but where documents come from."""
    return (settings["weights"], *rest_of(settings, {*FREE, *SOURCE}))


@cache
def presets_settings() -> frozenset[Values]:
    """`like_preset` of every preset in every form."""
    return frozenset(like_preset(preset.config.to_json()) for preset in every_preset())


def differing(one: RunConfig, other: RunConfig) -> list[str]:
    """Settings in which two runs differ, of those that count."""
    return [name for name in _COUNTED if getattr(one, name) != getattr(other, name)]
