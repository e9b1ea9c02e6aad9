"""Figure 18: pairwise recovery in longer sequences of documents."""

from __future__ import annotations

from figures.fig08 import toy_pairwise
from figures.matrices import Matrix

__all__ = ["PANELS"]

PANELS = {
    name: Matrix(name, "fig18", label, f"{label} documents", lambda run: run.probe("pairwise")["recovery"],
                 toy_pairwise, ("evaluated on", "trained on"), "fall of the loss", None,
                 "Fall of the loss (nats per token) on one document when the trained network is trained on "
                 f"another for one episode, T = {label}; colours saturate on the diagonal.")
    for name, label in (("18a", "50"), ("18b", "100"), ("18c", "200"))
}  # fmt: skip
