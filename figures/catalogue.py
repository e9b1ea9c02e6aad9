"""Every figure: which module draws it, what it shows, and what the paper found."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from matplotlib.figure import Figure

from figures.captions import Caption
from figures.evidence.collection import Runs
from figures.evidence.groups import Family
from figures.evidence.lookup import MissingRuns
from figures.evidence.scores import score_by_epoch
from llm.config import RunConfig
from llm.reproduce import made_by, sweep_command
from toymodel.base.errors import InputError
from toymodel.base.words import nearest

__all__ = [
    "FIGURES", "Entry", "Panel", "caption", "choose", "commands", "documents", "families", "identity", "kind",
    "panel", "render",
]  # fmt: skip


class Panel(Protocol):
    """A figure drawn from runs, found by its name in ``PANELS`` of its module."""

    @property
    def families(self) -> tuple[str, ...]:
        """Families of presets whose runs it shows."""

    def found(self, runs: Runs) -> list[Family]:
        """The runs that are drawn; raises MissingRuns when there are none."""

    def draw(self, runs: Runs) -> Figure:
        """The figure; raises MissingRuns likewise."""

    def caption(self, runs: Runs) -> Caption:
        """What is drawn; raises MissingRuns likewise."""


@dataclass(frozen=True)
class Entry:
    """One figure.

    Attributes:
        module: where it is drawn: in ``PANELS`` by its name if it needs runs, by ``draw()`` if not.
        title: what it shows, in a line.
        found: what the paper found; empty for what the paper does not show.
        needs_runs: whether it is drawn from runs of networks.
    """

    module: str
    title: str
    found: str = ""
    needs_runs: bool = True


_CURVES, _TOY = "figures.panels.varied", False

FIGURES: dict[str, Entry] = {
    "1a": Entry(
        _CURVES,
        "loss on document 1 through cyclic training",
        "The loss peaks near episode 40; over half of its rise is undone before the document returns.",
    ),
    "1b": Entry(
        _CURVES,
        "loss of all documents, aligned at their first training",
        "All documents recover in anticipation, not only the first.",
    ),
    "2a": Entry(
        _CURVES, "model size, pretrained", "Larger models recover more, with a sharp rise from 160M to 410M."
    ),
    "2b": Entry(
        _CURVES,
        "model size, random weights",
        "Recovery is there from random weights too, weaker, and larger models recover more.",
    ),
    "3a": Entry(_CURVES, "width", "Recovery needs a width of at least 512."),
    "3b": Entry(_CURVES, "depth", "Recovery needs at least 8 blocks."),
    "4a": Entry(_CURVES, "random masking", "Recovery is weaker with more masking, and clearly still there."),
    "4b": Entry(
        _CURVES, "random window shift", "Recovery is weaker with larger shifts, and clearly still there."
    ),
    "5a": Entry(_CURVES, "number of documents", "Recovery is clear for all T from 10 to 200."),
    "5b": Entry(_CURVES, "gradient steps per episode", "More steps, more recovery; none at M = 1."),
    "5c": Entry(_CURVES, "context length", "Longer contexts recover less."),
    "5d": Entry(_CURVES, "frozen blocks", "At least 8 of 16 blocks must be trained for strong recovery."),
    "6": Entry(_CURVES, "Adam against gradient descent", "Adam 0.689, gradient descent 0.211."),
    "7a": Entry(
        _CURVES,
        "causal image modelling",
        "ImageGPT recovers images in anticipation, as texts are.",
    ),
    "7b": Entry(
        _CURVES,
        "image classification",
        "A transformer and a convolutional network both recover batches in anticipation.",
    ),
    "8a": Entry(
        "figures.panels.fig08",
        "similarity of gradients",
        "Mostly positive, and highest near the centre rather than on the diagonal.",
    ),
    "8b": Entry(
        "figures.panels.fig08",
        "pairwise recovery",
        "Roughly symmetric, and strongest 10 to 15 documents away from the last one trained.",
    ),
    "8c": Entry(
        "figures.panels.fig08",
        "similarity of weight residuals",
        "Bright stripes one epoch apart, several documents wide.",
    ),
    "8d": Entry(
        "figures.panels.fig08", "similarity of activations", "Blocks by epoch, more similar in every epoch."
    ),
    "9": Entry(
        "figures.panels.movement", "path of the output layer", "A converging helix, one turn per epoch."
    ),
    "10": Entry(
        "figures.panels.fig10",
        "loss of task 1 in the toy model, f(w) = w and f(w) = y - w",
        "Bell-shaped curves, as in networks.",
        _TOY,
    ),
    "11": Entry(
        "figures.panels.fig11",
        "solution vectors of the toy model becoming a ring",
        "The vectors become a circle in the order of training within 10 epochs.",
        _TOY,
    ),
    "12": Entry(_CURVES, "documents 2 to N shuffled every epoch", "Recovery survives even N = 24."),
    "13": Entry(_CURVES, "rate of one-step training", "A tenfold rate brings slight recovery at M = 1."),
    "14": Entry(_CURVES, "attention heads", "Little effect."),
    "15": Entry(
        _CURVES, "scheme of random weights", "Pythia's scheme fits better and recovers more than N(0, 0.02)."
    ),
    "16a": Entry(_CURVES, "steps at the same total update", "More, smaller steps recover more."),
    "16b": Entry(
        _CURVES, "steps for a context of 1024", "40 steps restore the score of a quarter of the context."
    ),
    "17a": Entry("figures.panels.movement", "size of activation updates", "Steps from epoch to epoch."),
    "17b": Entry("figures.panels.movement", "size of weight updates", "A monotone fall, without steps."),
    "18a": Entry(
        "figures.panels.fig08",
        "pairwise recovery, 50 documents",
        "One bright area near the centre begins to part.",
    ),
    "18b": Entry(
        "figures.panels.fig08",
        "pairwise recovery, 100 documents",
        "Two bright areas, and a border without recovery 10 to 15 documents wide.",
    ),
    "18c": Entry(
        "figures.panels.fig08",
        "pairwise recovery, 200 documents",
        "Two bright areas, and a border as wide as for 100 documents.",
    ),
    "sec4": Entry(
        _CURVES,
        "neighbours reversed in the last epoch",
        "Document i + 1 primes i nearly as much as i primes i + 1 (section 4).",
    ),
    "control": Entry(_CURVES, "orders that do not repeat, as controls"),
    "own": Entry("figures.panels.own", "runs that are no preset's, each under its own name"),
    "headline": Entry(
        "figures.panels.headline", "a network with Adam beside the toy model fitted to it by four numbers"
    ),
    "online": Entry(
        "figures.panels.orders.networks",
        "online loss by model size and order (second version)",
        "A fixed order has the lower online loss, the more so the larger the model.",
    ),
    "pretraining": Entry(
        "figures.panels.orders.networks",
        "recovery by steps of pretraining (second version)",
        "Recovery grows with pretraining.",
    ),
    "orders": Entry(
        "figures.panels.orders.theory", "orders of training: theory, and two networks on it", "", _TOY
    ),
    "geometry": Entry("figures.panels.geometry", "Figs. 8, 9, 17 and 18 for the toy model", "", _TOY),
    "theory": Entry(
        "figures.panels.theory", "every statement of docs/theory.md beside a simulation", "", _TOY
    ),
}
"""In the paper's order."""


def choose(names: Sequence[str]) -> list[str]:
    """The figures meant by names as typed.

    Args:
        names: names in `FIGURES`; a number alone means all its panels (``8`` is 8a to 8d); ``all``, or
            nothing, means every figure.

    Raises:
        InputError: for an unknown figure, with the nearest name.
    """
    chosen: list[str] = []
    for name in names or ["all"]:
        found = list(FIGURES) if name == "all" else [name] if name in FIGURES else []
        found = found or [key for key in FIGURES if key[:1].isdigit() and key.rstrip("abcdefgh") == name]
        if not found:
            near = nearest(name, FIGURES)
            raise InputError(f"there is no figure {name!r}", expected="all, or some of " + ", ".join(FIGURES),
                             fix=f"reawaken figures {near}")  # fmt: skip
        chosen += [key for key in found if key not in chosen]
    return chosen


def panel(name: str) -> Panel:
    """What draws a figure that needs runs."""
    found: Panel = importlib.import_module(FIGURES[name].module).PANELS[name]
    return found


def render(name: str, runs: Runs) -> Figure:
    """Draw one figure of `FIGURES`.

    Raises:
        MissingRuns: when it needs runs that are not there, with the command that makes them.
    """
    if FIGURES[name].needs_runs:
        return panel(name).draw(runs)
    figure: Figure = importlib.import_module(FIGURES[name].module).draw()
    return figure


def families(name: str, runs: Runs) -> list[Family]:
    """The families of runs that a figure shows, as far as they are there."""
    if not FIGURES[name].needs_runs:
        return []
    try:
        return panel(name).found(runs)
    except MissingRuns:
        return []


def commands(name: str, runs: Runs) -> list[str]:
    """The commands that make a figure: its runs, if it needs any, and the figure from them."""
    if not FIGURES[name].needs_runs:
        return [f"reawaken figures {name}"]
    makers: list[str] = []
    for one in families(name, runs):
        makers += [sweep_command(one.name)] if one.as_preset else [
            made_by(run.config, f"runs/{run.name}") for run in one.runs
        ]  # fmt: skip
    if name == "own":
        makers = [made_by(run.config, f"runs/{run.name}") for one in runs.own() for run in one.runs]
        makers = makers or [made_by(RunConfig(steps=7), "runs/own")]
    makers = makers or [sweep_command(key) for key in panel(name).families]
    return [*dict.fromkeys(makers), f"reawaken figures {name} --runs runs"]


def caption(name: str, runs: Runs) -> str:
    """What a figure shows, with units and the identity of its runs; lines of text.

    Raises:
        MissingRuns: as `render`.
    """
    entry = FIGURES[name]
    lines = [f"Figure {name}: {entry.title}", ""]
    if entry.needs_runs:
        lines += [str(panel(name).caption(runs)), "", *identity(families(name, runs))]
    else:
        module = importlib.import_module(entry.module)
        lines += [" ".join((inspect.getdoc(module) or "").split()), "Losses of the toy model have no unit."]
    if entry.found:
        lines += ["", f"The paper found: {entry.found}"]
    return "\n".join([*lines, "", "Command:", *commands(name, runs), ""])


# What the embedded documents of a kind of task are.
_EMBEDDED = {"language": "the Python manual"}
_PHOTOGRAPH = "pieces of a photograph"


def documents(one: Family) -> str:
    """What a family's runs were trained on, in words."""
    config = one.members[0].config
    data = config.documents
    if data == "embedded":
        data = _EMBEDDED.get(config.task, _PHOTOGRAPH)
    return data + (f" (tokenizer {config.tokenizer})" if config.tokenizer else "")


def kind(one: Family) -> str:
    """What kind of networks and documents a family's runs have, as a sentence."""
    settings = f"; with {one.settings} in place of the preset's" if one.settings else ""
    if one.scale == "small":
        return f"Small networks with random weights on {documents(one)}; not the paper's{settings}."
    return f"{one.title}, on {documents(one)}{settings}."


def _size(config: RunConfig) -> str:
    """Size of a task; an image's is its model's."""
    return {"language": f"C={config.context} ", "classification": f"B={config.batch} "}.get(config.task, "")


def identity(found: Sequence[Family]) -> list[str]:
    """Which runs are shown, and of what kind; lines of text."""
    lines = []
    for one in found:
        lines.append(kind(one))
        for member in one.members:
            ids = " ".join(f"{run.config.id} (seed {run.config.seed})" for run in member.runs)
            config, weights = member.config, member.runs[0].manifest.get("model", {}).get("parameters")
            many = f", {weights:,} weights" if weights else ""
            lines.append(
                f"{member.preset.name}: T={config.num_documents} {_size(config)}M={config.steps} "
                f"E={config.epochs}, {config.optimizer} {config.rate:g}{many}; "
                f"recovery by epoch {score_by_epoch(member.losses)}; runs {ids}"
            )
        if one.missing:
            lines.append("Without runs: " + ", ".join(p.name for p in one.missing))
        made = {(str(run.manifest.get("git_commit"))[:12], run.manifest.get("device")) for run in one.runs}
        lines += [f"Commit {commit}, device {device}" for commit, device in sorted(made, key=str)]
    return lines
