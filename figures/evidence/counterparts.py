"""The toy's own version of a network experiment: what a preset varies, in the toy's terms.

The toy is that of the paper's Fig. 10b, f(w) = y - w with N = M = 100 and y ~ U(-1, 1), its episode cut into
the network's M gradient steps: of ten, each moves P at a tenth of the paper's rate and w a fifth of the way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from llm.config import RunConfig
from llm.presets import Preset, member
from toymodel import LossMatrix, episode_noise, random_tasks, schedule, simulate

__all__ = ["COUNTERPARTS", "ToySetting", "counterpart", "toy_losses"]

# Pythia-1B, the network of which most figures vary one thing.
_WIDTH, _BLOCKS, _CONTEXT, _RATE = 2048, 16, 256, 1e-3


@dataclass(frozen=True)
class ToySetting:
    """One toy experiment.

    Attributes:
        tasks: T.
        epochs: E.
        steps: inner steps per episode.
        slow: rate ||x||^2 of an inner step.
        fast: part of the way that w goes in an inner step.
        dimension: N = M.
        order: kind of schedule.
        options: of the schedule.
        noise: kind and level of what differs about x in each episode; empty for nothing.
    """

    tasks: int = 25
    epochs: int = 5
    steps: int = 10
    slow: float = 1 / 30
    fast: float = 0.2
    dimension: int = 100
    order: str = "cyclic"
    options: tuple[tuple[str, Any], ...] = ()
    noise: tuple[str, float] | tuple[()] = field(default=())


def _steps(config: RunConfig) -> dict[str, Any]:
    times = config.rate / _RATE
    return {"steps": config.steps, "slow": times / 30, "fast": min(1.0, 0.2 * times)}


def _context(config: RunConfig) -> dict[str, Any]:
    part = _CONTEXT / config.context
    return {"steps": config.steps, "slow": part / 30, "fast": min(1.0, 0.2 * part)}


def _width(config: RunConfig) -> dict[str, Any]:
    from llm.names import SHAPES

    width = config.width or SHAPES[config.model][0]
    return {"dimension": round(100 * width / _WIDTH)}


def _order(config: RunConfig) -> dict[str, Any]:
    options: dict[str, dict[str, Any]] = {
        "middle-shuffled": {"until": config.shuffle_until},
        "locally-reversed": {"block": config.reverse_block},
    }
    return {"order": config.schedule, "options": tuple(options.get(config.schedule, {}).items())}


def _mask(config: RunConfig) -> dict[str, Any]:
    return {"noise": ("mask", config.mask_probability)} if config.mask_probability else {}


def _shift(config: RunConfig) -> dict[str, Any]:
    return {"noise": ("replace", config.window_shift / _CONTEXT)} if config.window_shift else {}


def _frozen(config: RunConfig) -> dict[str, Any]:
    return {"slow": (1 - config.freeze_blocks / _BLOCKS) / 30}


def _same(config: RunConfig) -> dict[str, Any]:
    return {}


COUNTERPARTS: Mapping[str, tuple[Callable[[RunConfig], dict[str, Any]], str]] = {
    "fig1": (_same, "its own default"),
    "fig2a": (_width, "dimension N = M in proportion to the width"),
    "fig2b": (_width, "dimension N = M in proportion to the width"),
    "fig3-width": (_width, "dimension N = M in proportion to the width"),
    "fig4-mask": (_mask, "entries of x masked anew in every episode"),
    "fig4-shift": (_shift, "entries of x replaced anew in every episode, in proportion to the shift"),
    "fig5-documents": (lambda config: {"tasks": config.num_documents}, "tasks T"),
    "fig5-steps": (_steps, "inner steps"),
    "fig5-context": (_context, "rates of an inner step in inverse proportion to the context"),
    "fig5-frozen": (_frozen, "slow rate in proportion to the blocks that are trained"),
    "fig12": (_order, "the same orders"),
    "fig13": (_steps, "rates of the only inner step"),
    "fig16a": (_steps, "inner steps, rates in inverse proportion"),
    "fig16b": (_context, "inner steps at rates of a quarter"),
    "sec4": (_order, "the same orders"),
    "v2-online": (
        lambda config: _width(config) | _order(config),
        "the same orders, dimension N = M in proportion to the width",
    ),
    "control": (_order, "the same orders"),
}
"""By family: what its configurations (in the paper's form) change about the toy, and in words. Families that
are missing vary something the toy lacks: depth, heads, the scheme of random weights, the optimizer."""


def counterpart(preset: Preset) -> ToySetting | None:
    """The toy's version of a preset of any form; None where it has none."""
    base = member(preset.family, preset.label)
    if base.family not in COUNTERPARTS:
        return None
    changes, _ = COUNTERPARTS[base.family]
    return ToySetting(**({"epochs": base.config.epochs} | changes(base.config)))


@lru_cache(maxsize=256)
def toy_losses(setting: ToySetting, seed: int = 0) -> LossMatrix:
    """Train the toy; the paper's reflection, so that one gradient step and its targets are the paper's."""
    tasks = random_tasks(setting.tasks, setting.dimension, seed=seed, target="uniform")
    order = schedule(setting.order, setting.tasks, setting.epochs, seed, **dict(setting.options))
    noise = None
    if setting.noise:
        kind, level = setting.noise
        noise = episode_noise(tasks, order, kind, level, seed=seed)
    found = simulate(
        tasks,
        "reflection",
        rate=setting.slow / (setting.dimension / 3),  # ||x||^2 of x ~ U(-1, 1)^N
        epochs=setting.epochs,
        inner_steps=setting.steps,
        fast_rate=setting.fast,
        order=order,
        noise=noise,
    )
    return found.losses
