"""A finished run as a notebook shows it. Imported for that alone, by `llm` itself."""

from __future__ import annotations

from llm.runs.finished import Run
from toymodel.base.notebook import card, html_of
from toymodel.measures.show import loss_numbers, loss_picture

__all__: list[str] = []


@html_of.register
def _(run: Run) -> str:
    config, losses = run.config, run.losses
    numbers = [
        *loss_numbers(losses),
        ("model", f"{config.model}, {config.weights} weights"),
        ("documents", f"{config.num_documents} of {config.documents}, {config.context} tokens each"),
        ("training", f"{config.schedule}, {config.epochs} epochs, {config.steps} steps an episode, "
                     f"{config.optimizer} at {config.lr:g}"),
    ]  # fmt: skip
    return card(f"Run {run.name}", numbers, loss_picture(losses))
