"""Simulations as notebooks show them. Imported for that alone, by `toymodel` itself."""

from __future__ import annotations

from toymodel.base.notebook import card, html_of
from toymodel.measures.show import loss_numbers, loss_picture
from toymodel.simulate import ToyRun

__all__: list[str] = []


@html_of.register
def _(run: ToyRun) -> str:
    losses = run.losses
    numbers = [*loss_numbers(losses), ("engine", run.engine), ("status", run.status)]
    return card(f"Toy model: {losses.tasks} tasks, {losses.epochs} epochs", numbers, loss_picture(losses))
