"""The paper's claims as statements that data decide: measured in networks and in the toy, seed by seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from figures.claims.measures import (
    away,
    blocks,
    border,
    by_epoch,
    centre,
    convergence,
    document,
    each,
    fall,
    final_gap,
    gap,
    least,
    near,
    positive,
    ratio,
    scores,
    spread,
    stripe_width,
    stripes,
    symmetry,
    turns,
)
from figures.claims.worlds import Networks, NoCounterpart, Toy, World
from figures.evidence.runs import Runs
from figures.panels.curves import MissingRuns

__all__ = ["CLAIMS", "Claim", "Verdict", "evaluate", "table"]

State = Literal["holds", "does not hold", "not testable here"]
_CLEAR = 0.1  # a recovery score above this is called clear


@dataclass(frozen=True)
class Verdict:
    """What the data say about a claim.

    Attributes:
        state: ``holds`` if every seed says so, else ``does not hold``; ``not testable here`` without data.
        values: the measure by seed; empty if there are none.
        reason: why it is not testable, or which seeds have no value.
    """

    state: State
    values: tuple[float, ...] = ()
    reason: str = ""

    @property
    def mean(self) -> float:
        """Of the measure over seeds; NaN without any."""
        return float(np.mean(self.values)) if self.values else math.nan

    @property
    def deviation(self) -> float:
        """Standard deviation over seeds (ddof 1); NaN for fewer than two."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else math.nan

    def __str__(self) -> str:
        if not self.values:
            return self.reason or "no data"
        spread = f" ± {self.deviation:.2f}" if len(self.values) > 1 else ""
        seeds = f"{len(self.values)} seed{'s' * (len(self.values) > 1)}"
        return f"{self.mean:+.2f}{spread} ({seeds})" + (f"; {self.reason}" if self.reason else "")


@dataclass(frozen=True)
class Claim:
    """A statement and what decides it.

    Attributes:
        figure: of the paper.
        statement: what the paper says, so that it can be false.
        measure: what is measured, in words.
        values: by seed, in a world.
        above: the statement holds if the measure is larger than this,
        below: and smaller than this.
    """

    figure: str
    statement: str
    measure: str
    values: Callable[[World], Mapping[int, float]]
    above: float = 0.0
    below: float = math.inf

    def judge(self, world: World) -> Verdict:
        """Measure and decide."""
        try:
            found = self.values(world)
        except MissingRuns as error:
            return Verdict("not testable here", reason=str(error).rpartition("Fix: ")[2])
        except NoCounterpart:
            return Verdict("not testable here", reason="the toy has no counterpart")
        good = tuple(v for v in found.values() if math.isfinite(v))
        lost = len(found) - len(good)
        reason = f"{lost} seed(s) without a recovery score" if lost else ""
        if not good:
            return Verdict("not testable here", reason=reason or "no seed in common")
        holds = all(self.above < v < self.below for v in good)
        return Verdict("holds" if holds else "does not hold", good, reason)


def evaluate(runs: Runs) -> list[tuple[Claim, Verdict, Verdict]]:
    """Every claim with its verdict in the networks and in the toy."""
    networks, toy = Networks(runs), Toy()
    return [(claim, claim.judge(networks), claim.judge(toy)) for claim in CLAIMS]


def table(runs: Runs) -> str:
    """The table of paper against ours as text, two lines per claim."""
    lines = []
    for claim, networks, toy in evaluate(runs):
        lines.append(f"{claim.figure:<8}{networks.state:<18}{claim.statement}")
        lines.append(f"{'':26}{claim.measure}: networks {networks}; toy {toy.state}: {toy}")
    return "\n".join(lines)


_SCORE = "recovery score"
_HEADS, _TS = ("2", "4", "8", "16"), ("10", "25", "50", "100", "200")

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "1a",
        "document 1 recovers more than half of its forgetting in the second epoch",
        f"{_SCORE} of document 1, epoch 2",
        document("fig1", "fig1", 2),
        above=0.5,
    ),
    Claim(
        "1b",
        "all documents on average recover clearly",
        f"{_SCORE}, last epoch",
        scores("fig1", "fig1"),
        above=_CLEAR,
    ),
    Claim(
        "2a",
        "pretrained: the largest network recovers more than the smallest",
        f"difference of {_SCORE}s, 2.8B less 160M",
        gap("fig2a", "2.8b", "160m"),
    ),
    Claim(
        "2b",
        "from random weights the largest network recovers more than the smallest",
        f"difference of {_SCORE}s, 2.8B's shape less 160M's",
        gap("fig2b", "2.8b", "160m"),
    ),
    Claim(
        "3a",
        "recovery rises with width",
        f"difference of {_SCORE}s, widest less narrowest",
        gap("fig3-width", "2048", "256"),
    ),
    Claim(
        "3b",
        "recovery rises with depth",
        f"difference of {_SCORE}s, deepest less shallowest",
        gap("fig3-depth", "16", "4"),
    ),
    Claim(
        "4a",
        "masking weakens recovery",
        f"difference of {_SCORE}s, none less up to 0.3",
        gap("fig4-mask", "0.0", "0.3"),
    ),
    Claim(
        "4a",
        "with masking up to 0.3 recovery is still clear",
        _SCORE,
        scores("fig4-mask", "0.3"),
        above=_CLEAR,
    ),
    Claim(
        "4b",
        "shifting the window weakens recovery",
        f"difference of {_SCORE}s, none less the largest",
        gap("fig4-shift", "0", "128"),
    ),
    Claim(
        "4b",
        "with the largest shift recovery is still clear",
        _SCORE,
        scores("fig4-shift", "128"),
        above=_CLEAR,
    ),
    Claim(
        "5a",
        "recovery is clear for every T from 10 to 200",
        f"smallest {_SCORE} of the five",
        least("fig5-documents", _TS),
        above=_CLEAR,
    ),
    Claim(
        "5b",
        "more gradient steps, more recovery",
        f"difference of {_SCORE}s, M = 20 less M = 5",
        gap("fig5-steps", "20", "5"),
    ),
    Claim(
        "5b",
        "there is no recovery at M = 1",
        _SCORE,
        scores("fig5-steps", "1"),
        above=-math.inf,
        below=_CLEAR,
    ),
    Claim(
        "5c",
        "longer contexts recover less",
        f"difference of {_SCORE}s, shortest less longest",
        gap("fig5-context", "128", "1024"),
    ),
    Claim(
        "5d",
        "freezing three quarters of the blocks weakens recovery",
        f"difference of {_SCORE}s, none less three quarters frozen",
        gap("fig5-frozen", "0", "12"),
    ),
    Claim(
        "6", "Adam recovers more than gradient descent", f"difference of {_SCORE}s", gap("fig6", "adam", "gd")
    ),
    Claim(
        "7a",
        "ImageGPT of either size recovers clearly",
        f"smaller {_SCORE} of the two",
        least("fig7a", ("small", "medium")),
        above=_CLEAR,
    ),
    Claim(
        "7b",
        "a transformer and a convolutional network both recover clearly",
        f"smaller {_SCORE} of the two",
        least("fig7b", ("vit", "vgg")),
        above=_CLEAR,
    ),
    Claim(
        "8a",
        "gradients are mostly similar",
        "part of pairs with positive cosine, the last document left out",
        each("8a", positive),
        above=0.5,
    ),
    Claim(
        "8a",
        "gradients are most similar near the centre",
        "cosine in the middle third less elsewhere",
        each("8a", centre),
    ),
    Claim(
        "8b",
        "the pairwise matrix is symmetric",
        "correlation of mirrored entries",
        each("8b", symmetry),
        above=0.5,
    ),
    Claim(
        "8b",
        "documents near each other help each other more",
        "fall of loss up to 3 apart less further apart",
        each("8b", near),
    ),
    Claim(
        "8b",
        "recovery is strongest 10 to 15 documents before the last one trained",
        "fall of loss there less that near both ends",
        each("8b", away),
    ),
    Claim(
        "8c",
        "weight residuals one epoch apart are similar",
        "cosine one epoch apart less half an epoch apart",
        each("8c", stripes),
    ),
    Claim(
        "8c",
        "their stripes are several documents wide",
        "cosine two documents beside the stripe less half an epoch apart",
        each("8c", stripe_width),
    ),
    Claim(
        "8d",
        "activations are more similar in every epoch",
        "smallest rise of the mean cosine within an epoch",
        each("8d", blocks),
    ),
    Claim(
        "9",
        "the output layer turns once per epoch",
        "turns per epoch about its moving axis",
        turns,
        above=0.8,
        below=1.2,
    ),
    Claim("9", "the helix converges", "size of the last loop over that of the first", convergence, below=1.0),
    Claim(
        "12",
        "with documents 2 to 24 shuffled, document 1 still recovers",
        f"{_SCORE} of document 1",
        document("fig12", "24"),
        above=_CLEAR,
    ),
    Claim("13", "a tenfold rate brings recovery at M = 1", _SCORE, scores("fig13", "0.01"), above=_CLEAR),
    Claim(
        "14",
        "the number of heads has little effect",
        f"range of {_SCORE}s",
        spread("fig14", _HEADS),
        above=-math.inf,
        below=0.1,
    ),
    Claim(
        "15",
        "Pythia's scheme recovers more than N(0, 0.02)",
        f"difference of {_SCORE}s",
        gap("fig15", "pythia", "normal"),
    ),
    Claim(
        "15",
        "Pythia's scheme fits better than N(0, 0.02)",
        "difference of the losses at the end (nats)",
        final_gap("fig15", "normal", "pythia"),
    ),
    Claim(
        "16a",
        "the same total update in more steps recovers more",
        f"difference of {_SCORE}s, M = 20 less M = 1",
        gap("fig16a", "20", "1"),
    ),
    Claim(
        "16b",
        "at four times the context, M = 40 restores the score",
        f"difference of {_SCORE}s to M = 10, short context",
        gap("fig16b", "40", "fig1", other="fig1"),
        above=-0.05,
    ),
    Claim(
        "17a",
        "activations move in steps from epoch to epoch",
        "part of the variance that lies between epochs",
        by_epoch("17a"),
        above=0.5,
    ),
    Claim(
        "17b",
        "weight updates shrink monotonically",
        "rank correlation with the episode",
        fall("17b"),
        above=-math.inf,
        below=-0.8,
    ),
    *(
        Claim(
            figure,
            f"T = {T}: little recovery in a border about 10 documents wide",
            "fall of loss inside less in the border",
            each(figure, border),
        )
        for figure, T in (("18a", 50), ("18b", 100), ("18c", 200))
    ),
    Claim(
        "sec4",
        "with neighbours reversed, recovery is nearly the same",
        f"ratio of {_SCORE}s, reversed to cyclic",
        ratio("sec4", "reversed", "cyclic"),
        above=0.8,
    ),
    Claim(
        "control",
        "recovery needs the order to repeat",
        f"difference of {_SCORE}s, cyclic less reshuffled every epoch",
        gap("control", "cyclic", "reshuffled"),
        above=0.0,
    ),
)
"""In the order of the paper's figures; the last one is a control that the paper lacks."""
