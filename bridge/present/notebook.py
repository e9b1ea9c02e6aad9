"""A fit as a notebook shows it. Imported for that alone, by `bridge` itself."""

from __future__ import annotations

from bridge.estimate.result import FitResult
from toymodel.base.notebook import card, heat_map, html_of
from toymodel.measures.show import loss_numbers

__all__: list[str] = []


@html_of.register
def _(found: FitResult) -> str:
    numbers = [("R² over all losses", f"{found.r2:.3f}")]
    for losses, words in ((found.data, "the run's"), (found.prediction, "the toy's")):
        numbers += [(f"{words} {name}", value) for name, value in loss_numbers(losses)]
    for parameter in found.parameters:
        known = parameter.low is not None and parameter.high is not None
        interval = f"  ({parameter.low:.3g} to {parameter.high:.3g})" if known else ""
        numbers.append((parameter.name, f"{parameter.value:.3g}{interval}"))
    high = float(found.data.values.max())
    pictures = [
        ("the run: every document (down) through training", heat_map(found.data.values, high)),
        ("the toy, fitted", heat_map(found.prediction.values, high)),
    ]
    return card(f"Fit of {found.mechanism.name}", numbers, pictures)
