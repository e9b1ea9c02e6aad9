"""The paper's experiments as data: one configuration per curve, in families per panel.

Every preset has further forms by suffix: ``-random`` (random weights and embedded documents, so that it needs
no download), ``-embedded`` (the same experiment scaled to the embedded network, for a laptop) and ``-small``
(scaled to some seconds on one core; the results in figures/recorded are of this form).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from llm.config import RunConfig
from toymodel.base.errors import InputError
from toymodel.base.words import arg, nearest, nearest_few

__all__ = [
    "FORMS",
    "PRESETS",
    "Preset",
    "embedded_size",
    "family",
    "member",
    "preset",
    "random_init",
    "small_size",
]


@dataclass(frozen=True)
class Preset:
    """One curve of a figure.

    Attributes:
        name: what ``--preset`` takes, ``FAMILY-LABEL`` or ``FAMILY`` alone.
        family: the panel it belongs to; its members differ in one thing.
        label: which member, as a legend would say it.
        figure: the paper's figure, e.g. ``5b``; empty where the paper has none.
        varies: what the family varies.
        config: the run.
    """

    name: str
    family: str
    label: str
    figure: str
    varies: str
    config: RunConfig

    @property
    def needs_download(self) -> bool:
        """Whether weights, documents or a tokenizer come from the hub."""
        return self.config.weights == "pretrained" or self.config.documents != "embedded"


_PAPER = RunConfig(model="pythia-1b", weights="pretrained", documents="cnn_dailymail")


def random_init(config: RunConfig) -> RunConfig:
    """The same experiment without any download: random weights, embedded documents."""
    return replace(
        config, weights="random", documents="embedded", documents_split="train", revision=None,
        evaluate_summaries=False,
    )  # fmt: skip


_RANDOM = random_init(_PAPER)
# CIFAR-10 is the text's; the program has CIFAR-100 (--documents cifar100).
_PIXELS = RunConfig(
    task="image-modelling", weights="pretrained", documents="cifar10", optimizer="adam", lr=1e-3
)
# As in the program, dropout is on in training. Of ImageNet the validation images are taken: 50,000 to draw
# 800 from, at a twentieth of the download.
_CLASSES = RunConfig(
    task="classification", weights="pretrained", documents="imagenet", documents_split="validation",
    optimizer="adam", lr=1e-4, dropout=True,
)  # fmt: skip
_LAPTOP = replace(_RANDOM, model="embedded", context=32)
_ADAM = replace(_RANDOM, optimizer="adam", lr=1e-4, probes=("pca",))
_SIZES = ("160m", "410m", "1b", "1.4b", "2.8b")

# Family: figure, what varies, the run that is common to it, and what each member changes.
_FAMILIES: dict[str, tuple[str, str, RunConfig, Mapping[str, Mapping[str, Any]]]] = {
    "embedded": ("", "a small random network on the Python manual, by optimizer", _LAPTOP,
        {"": {"optimizer": "adam", "lr": 3e-4}, "sgd": {"lr": 0.03}}),
    "fig1": ("1", "nothing: the phenomenon itself", _PAPER, {"": {}}),
    "fig2a": ("2a", "size, pretrained", _PAPER, {s: {"model": f"pythia-{s}"} for s in _SIZES}),
    "fig2b": ("2b", "size, random weights", _RANDOM, {s: {"model": f"pythia-{s}"} for s in _SIZES}),
    # The feed-forward size stays at 8192, as in the program; --feed-forward 4*WIDTH varies both.
    "fig3-width": ("3a", "width", _RANDOM, {str(d): {"width": d} for d in (256, 512, 1024, 2048)}),
    "fig3-depth": ("3b", "depth", _RANDOM, {str(n): {"depth": n} for n in (4, 8, 12, 16)}),
    "fig4-mask": ("4a", "largest part of tokens masked in a step", _PAPER,
        {str(p): {"mask_probability": p} for p in (0.0, 0.1, 0.2, 0.3)}),
    "fig4-shift": ("4b", "largest shift of the window in a step", _PAPER,
        {str(s): {"window_shift": s} for s in (0, 4, 16, 32, 64, 128)}),
    "fig5-documents": ("5a", "documents T", _PAPER,
        {str(t): {"num_documents": t} for t in (10, 25, 50, 100, 200)}),
    "fig5-steps": ("5b", "steps M", _PAPER, {str(m): {"steps": m} for m in (1, 5, 10, 20)}),
    "fig5-context": ("5c", "context C", _PAPER, {str(c): {"context": c} for c in (128, 256, 512, 1024)}),
    # Only blocks are frozen, as the text says; --freeze-embeddings adds the input embedding (the program).
    "fig5-frozen": ("5d", "first blocks frozen", _PAPER,
        {str(b): {"freeze_blocks": b} for b in (0, 4, 6, 8, 10, 12)}),
    # The text gives no rate for Adam; the program's scripts use 1e-4.
    "fig6": ("6", "optimizer, random weights", _RANDOM,
        {"adam": {"optimizer": "adam", "lr": 1e-4}, "gd": {}}),
    "fig7a": ("7a", "size of ImageGPT", _PIXELS,
        {s: {"model": f"imagegpt-{s}"} for s in ("small", "medium")}),
    "fig7b": ("7b", "classifier: a transformer, a convolutional network", _CLASSES,
        {"vit": {"model": "vit_b_32"}, "vgg": {"model": "vgg19"}}),
    "fig8": ("8", "nothing: gradients, pairwise recovery, weights and activations", _PAPER,
        {"": {"model": "pythia-410m", "epochs": 4,
              "probes": ("gradients", "pairwise", "residuals", "activations")}}),
    "fig9": ("9", "nothing: the output layer's path", _PAPER, {"": {"epochs": 3, "probes": ("pca",)}}),
    "fig12": ("12", "last document of the shuffled middle", _PAPER,
        {str(n): {"schedule": "middle-shuffled", "shuffle_until": n} for n in (8, 16, 24)}),
    "fig13": ("13", "rate at one step per episode", _PAPER,
        {str(r): {"steps": 1, "lr": r} for r in (0.01, 0.001)}),
    "fig14": ("14", "attention heads", _RANDOM, {str(h): {"heads": h} for h in (2, 4, 8, 16)}),
    "fig15": ("15", "scheme of random weights", _RANDOM, {s: {"init": s} for s in ("pythia", "normal")}),
    "fig16a": ("16a", "steps M at the same total update", _PAPER,
        {str(m): {"steps": m, "scale_lr": True} for m in (1, 5, 10, 20)}),
    "fig16b": ("16b", "steps M at context 1024", _PAPER,
        {str(m): {"steps": m, "context": 1024} for m in (10, 20, 40)}),
    "fig17": ("17", "nothing: sizes of updates", _PAPER,
        {"": {"model": "pythia-410m", "epochs": 4, "probes": ("updates",)}}),
    "fig18": ("18", "documents T, pairwise recovery", _PAPER,
        {str(t): {"num_documents": t, "epochs": 4, "probes": ("pairwise",)} for t in (50, 100, 200)}),
    "sec4": ("section 4", "neighbours reversed in the last epoch", _PAPER,
        {"cyclic": {}, "reversed": {"schedule": "locally-reversed"}}),
    # The paper has no controls: nothing anticipates where no sequence repeats.
    "control": ("", "order of episodes, controls", _PAPER,
        {s: {"schedule": s} for s in ("cyclic", "shuffled-once", "reshuffled", "iid")}),
    # The paper's second version (NeurIPS 2024).
    "v2-online": ("v2", "order and size, pretrained: online loss", _PAPER,
        {f"{size}-{order}": {"model": f"pythia-{size}", "schedule": order}
         for size in _SIZES[1:] for order in ("cyclic", "reshuffled")}),
    "v2-pretraining": ("v2", "steps of pretraining", _PAPER,
        {f"step{n}": {"revision": f"step{n}"} for n in (6000, 12000, 24000, 48000, 96000)}),
    # What docs/predictions.md speaks of, in embedded form.
    "orders": ("", "order of episodes, and weights that decay", _ADAM,
        {s: {"schedule": s} for s in ("cyclic", "shuffled-once", "reshuffled", "palindrome", "spaced")}
        | {"decay": {"optimizer": "adamw", "weight_decay": 2.0}}),
    # What has no helix to make, beside Fig. 9.
    "fig9-orders": ("", "order of episodes: the output's path", replace(_PAPER, epochs=3, probes=("pca",)),
        {s: {"schedule": s} for s in ("reshuffled", "palindrome")}),
    "crossing": ("", "a fixed and a changing order, for long", replace(_ADAM, epochs=12, probes=()),
        {s: {"schedule": s} for s in ("cyclic", "reshuffled")}),
}  # fmt: skip


def _build() -> dict[str, Preset]:
    found = {}
    for name, (figure, varies, common, members) in _FAMILIES.items():
        for label, changes in members.items():
            full = f"{name}-{label}" if label else name
            found[full] = Preset(full, name, label or name, figure, varies, replace(common, **changes))
    return found


PRESETS: dict[str, Preset] = _build()
"""Every preset by name."""


def embedded_size(config: RunConfig) -> RunConfig:
    """The same experiment on the embedded network: sizes scaled from Pythia-1B's, rates to what suits it."""
    if config.task != "language":
        return _embedded_images(config)
    width, depth, context = 2048 / 192, 16 / 6, 256 / 32
    return replace(
        random_init(config),
        model="embedded",
        width=config.width and _scaled(config.width, width),
        depth=config.depth and _scaled(config.depth, depth),
        feed_forward=config.feed_forward and _scaled(config.feed_forward, width),
        freeze_blocks=_scaled(config.freeze_blocks, depth),
        context=max(2, _scaled(config.context, context)),
        window_shift=_scaled(config.window_shift, context),
        lr=round(config.lr * (30 if config.optimizer == "sgd" else 3), 9),
    )


_EMBEDDED: dict[str, dict[str, Any]] = {
    "imagegpt-small": {"model": "embedded"},
    "imagegpt-medium": {"model": "embedded", "width": 192, "depth": 6, "heads": 6},
    "vit_b_32": {"model": "embedded-vit"},
    # Half of so few units dropped leaves a network that fits no batch: then it has nothing to recover.
    "vgg19": {"model": "embedded-vgg", "dropout": False, "lr": 5e-4},
}


def _embedded_images(config: RunConfig) -> RunConfig:
    """An experiment on images, embedded: small networks, pieces of a photograph, batches of 8."""
    changes = {"batch": 8, "lr": round(3 * config.lr, 9)} if config.task == "classification" else {}
    return replace(random_init(config), **(changes | _EMBEDDED.get(config.model, {"model": "embedded"})))


def small_size(config: RunConfig) -> RunConfig:
    """The same experiment on a network of some 10^5 weights: one scale for every shape, so that ladders stay.

    Pythia-1B becomes width 64, depth 4, 4 heads at context 16. Heads keep at least 8 channels: the rotary
    embedding turns a quarter of them, in pairs.
    """
    if config.task != "language":
        return _embedded_images(config)
    from llm.names import SHAPES

    base = "pythia-1b" if config.model == "embedded" else config.model
    if base not in SHAPES:
        raise InputError(
            f"model {config.model!r} in small", expected="a Pythia size", fix=arg("preset", "fig1-small")
        )
    width, depth, heads, feed_forward, _ = SHAPES[base]
    narrow = _scaled(config.width or width, 32)
    return replace(
        random_init(config),
        model="embedded",
        width=narrow,
        depth=_scaled(config.depth or depth, 4),
        heads=max(1, min(_scaled(config.heads or heads, 2), narrow // 8)),
        feed_forward=_scaled(config.feed_forward or feed_forward, 32),
        freeze_blocks=_scaled(config.freeze_blocks, 4),
        context=max(2, _scaled(config.context if config.model != "embedded" else 256, 16)),
        window_shift=_scaled(config.window_shift, 16),
        lr=config.lr * (50 if config.optimizer == "sgd" else 10),
    )


def _scaled(value: int, by: float) -> int:
    """Divided and rounded, away from 0: what was varied stays varied."""
    size = max(1, round(abs(value) / by)) if value else 0
    return size if value > 0 else -size


_FORMS = {"-random": random_init, "-embedded": embedded_size, "-small": small_size}

FORMS: tuple[str, ...] = ("", *_FORMS)
"""Suffixes of a preset's forms, the paper's own first."""


def preset(name: str) -> RunConfig:
    """The configuration of that name, with or without one of the suffixes of the forms.

    Raises:
        InputError: for an unknown name, with the nearest known one, or for a family of several.
    """
    if name in PRESETS:
        return PRESETS[name].config
    for suffix, form in _FORMS.items():
        if name.endswith(suffix) and name.removesuffix(suffix) in PRESETS:
            return form(PRESETS[name.removesuffix(suffix)].config)
    if members := [p.name for p in PRESETS.values() if p.family == name]:
        raise InputError(
            f"preset {name!r} is a family", expected="one of " + ", ".join(members),
            fix=arg("preset", members[0]),
        )  # fmt: skip
    near = nearest_few(name, PRESETS)
    raise InputError(
        f"there is no preset {name!r}",
        expected=f"one of the {len(PRESETS)} that `reawaken llm presets` lists, such as " + ", ".join(near),
        fix=arg("preset", near[0]),
    )


def member(name: str, label: str) -> Preset:
    """The member of a family, in any form, with that label.

    Raises:
        InputError: for an unknown name or label, with the nearest known one.
    """
    found = {preset.label: preset for preset in family(name)}
    if label not in found:
        near = nearest(label, found)
        raise InputError(
            f"family {name!r} has no member {label!r}", expected="one of " + ", ".join(found), fix=near
        )
    return found[label]


def family(name: str) -> list[Preset]:
    """All members of a family, in the paper's order; a suffix as in `preset` applies to every one.

    Raises:
        InputError: for an unknown name, with the nearest known one.
    """
    # A name as it stands comes first: fig7a-small is a member, not the small form of its family.
    suffix = "" if name in PRESETS else next((s for s in _FORMS if name.endswith(s)), "")
    base = name.removesuffix(suffix)
    form = _FORMS.get(suffix, lambda config: config)
    members = [p for p in PRESETS.values() if base in (p.family, p.name)]
    if not members:
        known = dict.fromkeys(p.family for p in PRESETS.values())
        near = nearest(base, known)
        raise InputError(
            f"there is no family of presets {name!r}", expected="one of " + ", ".join(known), fix=near
        )
    return [dataclasses.replace(p, name=p.name + suffix, config=form(p.config)) for p in members]
