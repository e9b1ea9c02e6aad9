"""Power over the length of a log and its noise: the picture of docs/which-order.md.

``python -m bridge.orders.curves --out docs/which-order.png`` draws, over the length of the log and for
several amounts of noise, how often the truth is told of simulated logs. A few minutes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from tqdm import tqdm

from bridge.orders.evidence import HYPOTHESES, SURE
from bridge.orders.power import restarted_log, told
from bridge.orders.replay import replay_evidence
from toymodel.base.files import atomic_path, check_output

__all__ = ["Curves", "draw", "main", "measure"]

Floats = NDArray[np.float64]

CORRELATIONS = (0.3, 0.5, 0.7, 0.9)
EPOCHS, DOCUMENTS = (2, 3, 4, 6, 9, 12), 25
STEPS = (100, 200, 400, 800, 1600)
_RESTARTED = "began anew"
_COLORS = ("#56B4E9", "#009E73", "#D55E00", "#0072B2")


@dataclass(frozen=True)
class Curves:
    """Parts of simulated logs that were told right and wrong.

    Attributes:
        right: by truth, shape ``(correlations, lengths)``; a log without epochs that ``began anew``, too.
        wrong: likewise; the rest is undecided.
        repeats: of logs in the same order, told at least that one order comes again, moved or not.
        draws: logs of each.
    """

    right: Mapping[str, Floats]
    wrong: Mapping[str, Floats]
    repeats: Floats
    draws: int


def measure(
    draws: int = 100,
    epochs: tuple[int, ...] = EPOCHS,
    steps: tuple[int, ...] = STEPS,
    correlations: tuple[float, ...] = CORRELATIONS,
) -> Curves:
    """Ask of simulated logs which order they are in."""
    shape = {kind: (len(correlations), len(epochs)) for kind in HYPOTHESES}
    shape[_RESTARTED] = (len(correlations), len(steps))
    right, wrong = ({kind: np.zeros(size) for kind, size in shape.items()} for _ in range(2))
    repeats = np.zeros(shape["same order"])

    def count(kind: str, place: tuple[int, int], verdicts: Sequence[str]) -> None:
        right[kind][place] = np.mean([verdict == kind for verdict in verdicts])
        wrong[kind][place] = np.mean([verdict not in (kind, "undecided") for verdict in verdicts])

    with tqdm(total=len(correlations) * (len(epochs) + len(steps)), delay=1, disable=None) as bar:
        for n, rho in enumerate(correlations):
            for k, length in enumerate(epochs):
                logs = told(DOCUMENTS, length, rho, draws=draws)
                for kind, found in logs.items():
                    count(kind, (n, k), [one.verdict for one in found])
                repeats[n, k] = np.mean([one.repeats >= SURE for one in logs["same order"]])
                bar.update()
            for k, length in enumerate(steps):
                restarted = [restarted_log(length, rho, seed=seed)[0] for seed in range(draws)]
                count(_RESTARTED, (n, k), [replay_evidence(log).verdict for log in restarted])
                bar.update()
    return Curves(right, wrong, repeats, draws)


def draw(curves: Curves) -> Figure:
    """A panel for each truth, a curve for each amount of noise."""
    figure = Figure(figsize=(12, 3.3), layout="constrained")
    titles = {"same order": "same order every epoch", "reshuffled": "reshuffled every epoch",
              "displaced": "resumed with data skipped or replayed",
              _RESTARTED: "no epochs, resumed with the first batches"}  # fmt: skip
    for axes, kind in zip(figure.subplots(1, 4, sharey=True), titles, strict=True):
        _panel(axes, curves, kind)
        axes.set_title(titles[kind], fontsize=9.5)
    figure.axes[0].set_ylabel("part of logs told right")
    # The panel with most room, below the line that says how much is told wrong.
    figure.axes[1].legend(*figure.axes[0].get_legend_handles_labels(), title="correlation between visits",
                          fontsize=8, title_fontsize=8, loc="upper left", bbox_to_anchor=(0.0, 0.88),
                          frameon=False)  # fmt: skip
    return figure


def _panel(axes: Axes, curves: Curves, kind: str) -> None:
    lengths = STEPS if kind == _RESTARTED else EPOCHS
    for n, rho in enumerate(CORRELATIONS):
        axes.plot(lengths, curves.right[kind][n], "o-", color=_COLORS[n], markersize=4, label=f"{rho:.1f}")
        if kind == "same order":
            only = "moved or not" if n == len(CORRELATIONS) - 1 else "_"
            axes.plot(lengths, curves.repeats[n], ":", color=_COLORS[n], linewidth=1.2, label=only)
    worst = curves.wrong[kind].max()
    axes.text(0.03, 0.97, f"wrong: {worst:.0%} at most", transform=axes.transAxes, va="top", fontsize=8)
    axes.set(ylim=(-0.03, 1.13), xscale="log")
    axes.set_xlabel("steps" if kind == _RESTARTED else f"epochs of {DOCUMENTS} documents")
    axes.set_xticks(lengths, [str(length) for length in lengths])
    axes.minorticks_off()
    axes.axhline(1, color="0.8", linewidth=0.7)


def main(out: Path = Path("docs/which-order.png"), draws: int = 100) -> None:
    """Measure power and draw it.

    Args:
        out: File of the picture.
        draws: Simulated logs of each kind, length and amount of noise.
    """
    check_output(out, suffixes=(".png", ".pdf"))
    curves = measure(draws)
    with atomic_path(out) as place:
        draw(curves).savefig(place, dpi=130, format=out.suffix[1:])
    for kind, right in curves.right.items():
        print(kind)
        for rho, row, wrong in zip(CORRELATIONS, right, curves.wrong[kind], strict=True):
            print(f"  {rho:.1f}  right {' '.join(f'{v:.2f}' for v in row)}  "
                  f"wrong {' '.join(f'{v:.2f}' for v in wrong)}")  # fmt: skip
    print("one order that comes again, moved or not")
    for rho, row in zip(CORRELATIONS, curves.repeats, strict=True):
        print(f"  {rho:.1f}  told  {' '.join(f'{v:.2f}' for v in row)}")
    print(f"in {out}")


if __name__ == "__main__":
    import tyro

    tyro.cli(main)
