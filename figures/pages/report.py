"""The report of a comparison: one HTML file that needs nothing but itself, legible on a phone."""

from __future__ import annotations

import html
import math
import os
from collections.abc import Sequence

from bridge.present.html_page import page, picture, table
from figures.pages.comparison import Comparison, RecoveryRow, recovery_table
from toymodel.base.files import atomic_write

__all__ = ["write_report"]

_WHAT = """A network that is trained on the same documents in the same order, epoch after epoch, forgets each
document while it learns the others, and then begins to recover it shortly before the document comes round
again: <em>anticipatory recovery</em>. The toy model explains it with slow weights (P, which every episode
moves a little) and fast weights (w, which every episode pulls towards its own document). Here the toy model
is fitted to the network's losses and shown beside them."""


def write_report(
    path: str | os.PathLike[str],
    comparison: Comparison,
    figure_png: bytes,
    fit_report_text: str,
    *,
    explorer: str = "",
) -> None:
    """Write the report of a comparison as one self-contained HTML file, whole or not at all.

    Args:
        path: the file to write, usually ``report.html``.
        comparison: what is compared; every number of the report is computed from it.
        figure_png: the picture (``png_bytes(draw(comparison))``), put inside the file.
        fit_report_text: the fit report as the terminal shows it.
        explorer: name of the explorer beside the report; empty where there is none.
    """
    network = comparison.network
    model = comparison.facts.get("model", "Network")
    several = comparison.seeds > 1
    seeds = (
        f"Network: mean ± standard deviation over {comparison.seeds} seeds."
        if several
        else "The network has one seed, so no spread is given."
    )
    alt = (
        f"Losses and recovery scores of the network and of the toy model: {network.tasks} documents, "
        f"{network.epochs} epochs"
    )
    body = [
        f"<h2>What this is</h2>\n<p>{_WHAT}</p>",
        *_link(explorer),
        "<h2>Picture</h2>",
        picture(figure_png, alt),
        "<h2>Recovery score per epoch</h2>",
        "<p>The share of an epoch's forgetting that is undone before the document returns: 0 is none, 1 is "
        f"all of it. {seeds} Where a column says noise, the documents' own departures from the curves that "
        "they share were added to the toy's losses: a score takes the largest loss of an epoch, which they "
        "raise.</p>",
        _recovery(recovery_table(comparison), comparison.seeds),
        "<h2>Goodness of fit</h2>",
        f"<p>{html.escape(_verdict(comparison))}</p>",
        _goodness(comparison),
        "<h2>Parameters of the toy model</h2>",
        _parameters(comparison),
        "<h2>The run</h2>",
        _facts(comparison),
        "<h2>Fit report</h2>",
        f'<pre class="box">{html.escape(fit_report_text)}</pre>',
    ]
    with atomic_write(path, "w") as file:
        file.write(page(f"{model} beside the toy model", "\n".join(body)))


def _link(explorer: str) -> list[str]:
    if not explorer:
        return []
    link = f'<a href="{html.escape(explorer)}">{html.escape(explorer)}</a>'
    return [f"<p>Beside this file, {link} shows the mechanism move, with this network beside it.</p>"]


def _recovery(scores: Sequence[RecoveryRow], seeds: int) -> str:
    if not scores:
        return "<p>There is none: every document was trained only once.</p>"
    head = ["Epoch", "Network", "Toy"]
    rows = [[str(row.epoch), _network_score(row, seeds), str(row.toy)] for row in scores]
    if all(row.toy_noisy is not None for row in scores):
        head.append("Toy with noise")
        rows = [[*cells, str(row.toy_noisy)] for cells, row in zip(rows, scores, strict=True)]
    return table(head, rows)


def _network_score(row: RecoveryRow, seeds: int) -> str:
    if not row.seeds:
        return f"no score ({row.network_reason})"
    text = f"{row.network:.3f}"
    if row.deviation is not None:
        text += f" ± {row.deviation:.3f}"
    if row.seeds < seeds:
        text += f" ({row.seeds} of {seeds} seeds; the others have no score: {row.network_reason})"
    return text


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _r2(value: float | None) -> str:
    return f"{value:.3f}" if value is not None and math.isfinite(value) else "none"


def _verdict(comparison: Comparison) -> str:
    """How the held-out prediction stands against the best null, whichever way that comes out."""
    held_out = comparison.held_out_r2
    if held_out is None or not math.isfinite(held_out):
        reason = comparison.held_out_reason or "no epochs were held out"
        return (
            f"There is no held-out R² ({reason}): nothing here says how well the toy model predicts losses "
            "that it was not fitted to."
        )
    nulls = {name: value for name, value in comparison.nulls.items() if value is not None and _known(value)}
    if not nulls:
        return (
            f"The toy model predicts the held-out epochs with R² {held_out:.3f}; there is no null beside it."
        )
    best = max(nulls, key=nulls.__getitem__)
    numbers = f"held-out R² {held_out:.3f} against {nulls[best]:.3f}"
    if nulls[best] > held_out:
        return (
            f"A null does better than the toy model: “{best}” ({numbers}). A null knows nothing of any "
            "mechanism, so this prediction is no evidence for the toy model's."
        )
    if nulls[best] == held_out:
        return f"The toy model does no better than the null “{best}” ({numbers})."
    return f"The toy model predicts the held-out epochs better than its best null, “{best}” ({numbers})."


def _goodness(comparison: Comparison) -> str:
    rows = [["Toy model", "all epochs, fitted to all", _r2(comparison.r2)]]
    fitted = comparison.fitted_epochs
    if fitted is None:
        what = "held-out epochs"
    else:
        seen = "epoch 1" if fitted == 1 else f"epochs 1–{fitted}"
        what = f"later epochs, fitted to {seen}"
    if comparison.held_out_r2_alone is None:
        rows.append(["Toy model", what, _r2(comparison.held_out_r2)])
    else:
        rows.append(["Toy model, its residuals carried on", what, _r2(comparison.held_out_r2)])
        rows.append(["Toy model alone", "the same", _r2(comparison.held_out_r2_alone)])
    later = "held-out epochs" if fitted is None else "the same later epochs"
    rows += [[f"Null: {name}", later, _r2(value)] for name, value in comparison.nulls.items()]
    return table(["Prediction", "Of", "R²"], rows)


def _parameters(comparison: Comparison) -> str:
    if not comparison.parameters:
        return "<p>None were given.</p>"
    rows = []
    for p in comparison.parameters:
        if p.low is not None and p.high is not None and _known(p.low) and _known(p.high):
            interval = f"{p.low:.4g} to {p.high:.4g}"
            if p.reason:
                interval += f" ({p.reason})"
        else:
            interval = f"none: {p.reason or 'no reason was given'}"
        rows.append([p.name, f"{p.value:.4g}" if math.isfinite(p.value) else "none", interval])
    return table(["Parameter", "Value", "Interval"], rows)


def _facts(comparison: Comparison) -> str:
    if not comparison.facts:
        return "<p>Nothing is known about the run but its losses.</p>"
    rows = [[name, str(value)] for name, value in comparison.facts.items()]
    return table(["Fact", "Value"], rows)
