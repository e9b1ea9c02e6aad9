"""What the campaign runs and in which order: the paper's experiments that need no download, by worth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from llm.config import RunConfig
from llm.presets import preset, random_init
from toymodel.base.errors import InputError
from toymodel.base.words import arg, nearest

__all__ = [
    "DOCUMENTS",
    "ENTRIES",
    "PRETRAINED",
    "TOKENIZER",
    "Entry",
    "Planned",
    "Precision",
    "as_preset",
    "plan",
    "select",
]

DOCUMENTS, TOKENIZER, PRETRAINED = "documents.jsonl", "tokenizer.json", "pretrained.gguf"
"""Files of the campaign's folder. Runs name them without a path, so that a run is the same run anywhere."""

Precision = Literal["ieee", "tf32", "bf16"]

Member = tuple[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Entry:
    """A question, answered by some presets over some seeds.

    Attributes:
        name: what ``--only`` takes.
        asks: the question.
        members: preset and overrides of each, by the name of the member.
        seeds: every member is run with each; all members with the first seed come first.
        pretrained: of the trained network that the campaign was given, with its own tokenizer, rather than
            of random weights.
    """

    name: str
    asks: str
    members: Mapping[str, Member]
    seeds: tuple[int, ...] = (0, 1, 2)
    pretrained: bool = False


@dataclass(frozen=True)
class Planned:
    """One run of the campaign.

    Attributes:
        name: its folder, ``MEMBER-seedN``.
        entry: the first entry that asks for it.
        config: the run.
        serves: every entry and member that asks for it.
    """

    name: str
    entry: str
    config: RunConfig
    serves: frozenset[str]


def _presets(names: Iterable[str], **overrides: Any) -> dict[str, Member]:
    """Presets as they are, or all with the same overrides, which then are part of the member's name."""
    model = overrides.get("model", "").removeprefix("pythia-")
    return {f"{name}-{model}" if model else name: (name, overrides) for name in names}


_ADAM = {"optimizer": "adam", "lr": 1e-4}
_MIDDLE = {"model": "pythia-410m"}
# Of the paper's 16 blocks of Pythia-1B it freezes 4 to 12; the same parts of 410M's 24.
_FROZEN = {f"fig5-frozen-{b}-410m": ("fig5-frozen-0", _MIDDLE | {"freeze_blocks": b})
           for b in (0, 6, 9, 12, 15, 18)}  # fmt: skip
_WIDTHS, _DEPTHS = (256, 512, 1024, 2048), (4, 8, 12, 16)


def _orders(size: str) -> dict[str, Member]:
    """The same network with Adam in a fixed order, in one reshuffled every epoch, and there and back."""
    model = {"model": f"pythia-{size}"}
    return {
        f"orders-{name}-{size}": ("fig6-adam", model | {"schedule": name})
        for name in ("cyclic", "reshuffled", "palindrome")
    }


_TRAINED: dict[str, Member] = {
    "trained-sgd": ("fig1", {"lr": 0.003}),
    "trained-adam": ("fig1", _ADAM),
    "trained-probes": ("fig1", _ADAM | {
        "epochs": 4, "probes": ("gradients", "pairwise", "activations", "updates"),
    }),
    **{f"trained-documents-{t}": ("fig1", _ADAM | {"num_documents": t}) for t in (10, 50, 75)},
    **{f"trained-steps-{m}": ("fig1", _ADAM | {"steps": m}) for m in (1, 5, 20)},
    **{f"trained-context-{c}": ("fig1", _ADAM | {"context": c}) for c in (64, 128)},
    **{f"trained-frozen-{b}": ("fig1", _ADAM | {"freeze_blocks": b}) for b in (10, 20)},
}  # fmt: skip

# Ordered by what is still unknown: what a call has no time for comes in a later one.
ENTRIES: tuple[Entry, ...] = (
    Entry("fig6", "Adam at 1B, in a fixed and a reshuffled order: how much does the fixed one win online?",
          {"fig6-adam": ("fig6-adam", {}),
           "fig6-adam-reshuffled": ("fig6-adam", {"schedule": "reshuffled"})}),
    Entry("orders", "Is it the same at 160M and 410M, and does a palindrome not turn?",
          _orders("160m") | _orders("410m")),
    Entry("trained", "What does a trained network do: structure, documents, steps, context, frozen blocks?",
          _TRAINED, (0,), pretrained=True),
    Entry("fig3-adam", "Does recovery need width and depth, with Adam?",
          {f"fig3-width-{d}-adam": (f"fig3-width-{d}", _ADAM) for d in _WIDTHS}
          | {f"fig3-depth-{n}-adam": (f"fig3-depth-{n}", _ADAM) for n in _DEPTHS}, (0,)),
    Entry("fig3", "Does recovery need width and depth?",
          _presets(f"fig3-width-{d}" for d in _WIDTHS)
          | _presets(f"fig3-depth-{n}" for n in _DEPTHS), (0,)),
    Entry("fig2b", "Does recovery grow with size, from random weights, by plain descent?",
          _presets(f"fig2b-{s}" for s in ("160m", "410m", "1b", "1.4b", "2.8b")) | _presets(("fig6-gd",))),
    Entry("control", "Nothing anticipates where no sequence repeats: is that so?",
          _presets(("control-reshuffled", "control-iid"))),
    # The paper gives no rate for Adam and its program 1e-4: which gives its score?
    Entry("fig6-rate", "Which rate of Adam gives the paper's score?",
          {f"fig6-adam-{r:g}": ("fig6-adam", {"lr": r}) for r in (3e-4, 3e-5, 1e-3, 1e-5)}, (0,)),
    # Residuals of all weights are 163 GB of states at 410M; those of the attention whose gradients are
    # compared are 1.7 GB.
    Entry("fig8", "Gradients, pairwise recovery, weight residuals and activations at 410M.",
          {"fig8-410m": ("fig8", _MIDDLE | {"probe_layer": "gpt_neox.layers.12.attention"})}, (0,)),
    Entry("fig9", "Does the output layer go round once per epoch?", _presets(("fig9",), **_MIDDLE), (0,)),
    Entry("fig17", "Do updates shrink from episode to episode?", _presets(("fig17",), **_MIDDLE), (0,)),
    Entry("fig3-seeds", "Width and depth, more seeds.",
          _presets(f"fig3-width-{d}" for d in _WIDTHS)
          | _presets(f"fig3-depth-{n}" for n in _DEPTHS), (1, 2)),
    Entry("fig15", "Does Pythia's scheme of random weights recover better than N(0, 0.02)?",
          _presets(("fig15-pythia", "fig15-normal"))),
    Entry("fig14", "Does the number of heads matter?", _presets(f"fig14-{h}" for h in (2, 4, 8, 16))),
    Entry("fig5", "Documents, steps, context and frozen blocks at 410M.",
          _presets((f"fig5-documents-{t}" for t in (10, 25, 50)), **_MIDDLE)
          | _presets((f"fig5-steps-{m}" for m in (1, 5, 10, 20)), **_MIDDLE)
          | _presets((f"fig5-context-{c}" for c in (128, 256, 512, 1024)), **_MIDDLE)
          | _FROZEN),
    Entry("fig12", "Does recovery survive a shuffled middle?", _presets(f"fig12-{n}" for n in (8, 16, 24))),
    Entry("fig4", "Does it survive masks and shifted windows?",
          _presets(f"fig4-mask-{p}" for p in (0.0, 0.1, 0.2, 0.3))
          | _presets(f"fig4-shift-{s}" for s in (0, 4, 16, 32, 64, 128))),
    # The news of docs/data.md are 96 documents: these need a larger corpus.
    Entry("many", "A hundred and two hundred documents.",
          _presets((f"fig5-documents-{t}" for t in (100, 200)), **_MIDDLE)
          | _presets(f"fig18-{t}" for t in (50, 100, 200)), (0,)),
    Entry("larger", "6.9B and 12B, which nobody has run.",
          {f"fig2b-{s}": ("fig2b-2.8b", {"model": f"pythia-{s}"}) for s in ("6.9b", "12b")}, (0,)),
)  # fmt: skip
"""The campaign, in order of worth."""


def plan(
    entries: Sequence[Entry] = ENTRIES,
    *,
    precision: Precision = "tf32",
    rehearse: bool = False,
    version: int = 2,
) -> list[Planned]:
    """Every run in order; one that several entries ask for appears with the first.

    Args:
        entries: the campaign.
        precision: of matrix products. TF32 changed recovery by some hundredths where both were run (410M),
            at half the time or less.
        version: of drawing and descending.
        rehearse: the same runs with a network and documents so small that all of them take minutes on a CPU.
    """
    found: dict[str, Planned] = {}
    for entry in entries:
        for seed in entry.seeds:
            for member in entry.members:
                config = replace(_config(entry, member, seed, precision), version=version)
                if rehearse:
                    config = _small(config)
                name = f"{member}-seed{seed}"
                run = found.setdefault(config.id, Planned(name, entry.name, config, frozenset()))
                serves = run.serves | {entry.name, member, name}
                found[config.id] = replace(run, serves=serves)
    return list(found.values())


def select(runs: Sequence[Planned], only: Sequence[str]) -> list[Planned]:
    """Those that are named by entry, member or run; all if nothing is named.

    Raises:
        InputError: for an unknown name, with the nearest one.
    """
    known = frozenset[str]().union(*(run.serves for run in runs))
    for name in only:
        if name not in known:
            near = nearest(name, sorted(known))
            entries = ", ".join(dict.fromkeys(run.entry for run in runs))
            raise InputError(
                arg("only", name), expected=f"an entry ({entries}), a member or a run of the campaign",
                fix=arg("only", near),
            )  # fmt: skip
    return [run for run in runs if not only or run.serves & set(only)]


def as_preset(config: RunConfig) -> RunConfig:
    """A run on the texts of a file in the words of its preset's form without downloads, to be found by it.

    Which documents they were, and under which tokenizer, is for whoever compares runs to say. Any other run
    is returned as it is.
    """
    if config.selection != "seed" or Path(config.documents).suffix not in (".jsonl", ".txt"):
        return config
    return replace(config, documents="embedded", tokenizer=None, selection="auto")


def _config(entry: Entry, member: str, seed: int, precision: Precision) -> RunConfig:
    """A preset on the campaign's documents; a random network's embedding keeps the model's own rows."""
    name, overrides = entry.members[member]
    if entry.pretrained:
        base = replace(preset(name), model=PRETRAINED, tokenizer=None)
    else:
        base = replace(random_init(preset(name)), tokenizer=TOKENIZER)
    config = replace(base, documents=DOCUMENTS, selection="seed", seed=seed, precision=precision)
    return replace(config, **overrides)


def _small(config: RunConfig) -> RunConfig:
    """Its shape in small, random: what it varies still varies, and the embedding fits any tokenizer."""
    return replace(
        config, model="pythia-14m", weights="random", tokenizer=TOKENIZER,
        width=16 * (1 if config.width is None else max(1, config.width // 512)),
        depth=2 if config.depth is None else max(1, config.depth // 4), heads=min(4, config.heads or 4),
        feed_forward=32, context=max(8, config.context // 32),
        num_documents=6 if config.num_documents > 25 else 4, steps=min(2, config.steps), epochs=2,
        freeze_blocks=min(1, config.freeze_blocks), window_shift=min(2, config.window_shift),
        shuffle_until=config.shuffle_until and 3, probe_layer=config.probe_layer and "output",
    )  # fmt: skip
