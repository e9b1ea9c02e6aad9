"""Figure 18: pairwise recovery in longer sequences of documents."""

from __future__ import annotations

from figures.panels.fig08 import toy_pairwise
from figures.panels.matrices import Matrix

__all__ = ["PANELS"]

PANELS = {
    name: Matrix(
        name,
        "fig18",
        title=f"{label} documents",
        read=lambda run: run.probe("pairwise")["recovery"],
        toy=toy_pairwise,
        axes_labels=("evaluated on", "trained on"),
        bar="fall of the loss",
        words="Fall of the loss (nats per token) on one document when the trained network is trained on "
        f"another for one episode, T = {label}; colours saturate on the diagonal.",
        label=label,
    )
    for name, label in (("18a", "50"), ("18b", "100"), ("18c", "200"))
}
