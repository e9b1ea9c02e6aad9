"""Loss matrices as notebooks show them. Imported for that alone, by `toymodel` itself."""

from __future__ import annotations

from toymodel.base.notebook import card, heat_map, html_of
from toymodel.measures.losses import LossMatrix
from toymodel.measures.recovery import recovery_scores

__all__ = ["loss_numbers", "loss_picture"]


def loss_numbers(losses: LossMatrix) -> list[tuple[str, str]]:
    """The few numbers of a loss matrix, by name."""
    scores = " ".join(f"{s.value:.2f}" if s else "none" for s in recovery_scores(losses))
    first, last = losses.values[0].mean(), losses.values[-1].mean()
    return [
        ("recovery scores", scores or "none: a single epoch"),
        ("mean loss, before and after", f"{first:.3g}, {last:.3g}"),
    ]


def loss_picture(losses: LossMatrix) -> list[tuple[str, str]]:
    """Its picture, with a caption, as `card` takes them."""
    return [("every task (down) through training", heat_map(losses.values))]


@html_of.register
def _(losses: LossMatrix) -> str:
    title = f"Loss matrix: {losses.tasks} tasks, {losses.epochs} epochs"
    return card(title, loss_numbers(losses), loss_picture(losses))
