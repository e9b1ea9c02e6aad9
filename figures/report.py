"""The report of a comparison: one HTML file that needs nothing but itself, legible on a phone."""

from __future__ import annotations

import base64
import html
import math
import os
from collections.abc import Iterable, Sequence
from string import Template

from figures.comparison import Comparison, RecoveryRow, recovery_table
from toymodel.files import atomic_write

__all__ = ["write_report"]

# Tables, picture and terminal text scroll sideways, each in its own box; the page itself never does.
_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>
:root { color-scheme: light dark; --ink: #1b1b1b; --page: #ffffff; --line: #c9c9c9; --soft: #f3f3f3; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --page: #17191c; --line: #45494f; --soft: #22252a; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 60rem; color: var(--ink); background: var(--page);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; }
h2 { font-size: 1.15rem; margin-top: 2rem; }
.box { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: 0.35rem 0.8rem 0.35rem 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; }
td.words { min-width: 12rem; }
@media (max-width: 30rem) { th, td { padding-right: 0.5rem; } td.words { min-width: 8rem; } }
figure { margin: 0; }
/* The picture keeps a white ground in dark mode, and a width at which its labels can be read. */
figure img { display: block; width: 100%; min-width: 36rem; height: auto; background: #ffffff; }
pre { padding: 0.8rem; background: var(--soft); font-size: 0.85rem; line-height: 1.4; overflow-wrap: normal; }
</style>
</head>
<body>
<main>
<h1>$title</h1>
<h2>What this is</h2>
<p>A network that is trained on the same documents in the same order, epoch after epoch, forgets each
document while it learns the others, and then begins to recover it shortly before the document comes round
again: <em>anticipatory recovery</em>. The toy model explains it with slow weights (P, which every episode
moves a little) and fast weights (w, which every episode pulls towards its own document). Here the toy model
is fitted to the network's losses and shown beside them.</p>
<h2>Picture</h2>
<figure class="box"><img alt="$alt" src="data:image/png;base64,$png"></figure>
<h2>Recovery score per epoch</h2>
<p>The share of an epoch's forgetting that is undone before the document returns: 0 is none, 1 is all of it.
$seeds Where a column says so, noise like the fit's residuals was added to the toy's losses: a score takes the
largest loss of an epoch, which noise raises.</p>
$recovery
<h2>Goodness of fit</h2>
<p>$verdict</p>
$goodness
<h2>Parameters of the toy model</h2>
$parameters
<h2>The run</h2>
$facts
<h2>Fit report</h2>
<pre class="box">$text</pre>
</main>
</body>
</html>
""")


def write_report(
    path: str | os.PathLike[str], comparison: Comparison, figure_png: bytes, fit_report_text: str
) -> None:
    """Write the report of a comparison as one self-contained HTML file, whole or not at all.

    Args:
        path: the file to write, usually ``report.html``.
        comparison: what is compared; every number of the report is computed from it.
        figure_png: the picture (``png_bytes(draw(comparison))``), put inside the file.
        fit_report_text: the fit report as the terminal shows it.
    """
    network = comparison.network
    model = comparison.facts.get("model", "Network")
    title = f"{model} beside the toy model"
    several = comparison.seeds > 1
    seeds = (
        f"Network: mean ± standard deviation over {comparison.seeds} seeds."
        if several
        else "The network has one seed, so no spread is given."
    )
    table = recovery_table(comparison)
    page = _PAGE.substitute(
        title=html.escape(title),
        alt=html.escape(
            f"Losses and recovery scores of the network and of the toy model: {network.tasks} documents, "
            f"{network.epochs} epochs"
        ),
        png=base64.b64encode(figure_png).decode("ascii"),
        seeds=html.escape(seeds),
        recovery=_recovery(table, comparison.seeds),
        verdict=html.escape(_verdict(comparison)),
        goodness=_goodness(comparison),
        parameters=_parameters(comparison),
        facts=_facts(comparison),
        text=html.escape(fit_report_text),
    )
    with atomic_write(path, "w") as file:
        file.write(page)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, words: int | None = None) -> str:
    """A table in its own scrolling box; every cell is escaped here. `words` is a column of sentences."""
    top = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in head)
    lines = []
    for row in rows:
        cells = ""
        for column, cell in enumerate(row):
            tag = '<td class="words">' if column == words else "<td>"
            # Names may break after an underscore, or a phone would show little beside them.
            cells += f"{tag}{html.escape(cell).replace('_', '_<wbr>')}</td>"
        lines.append(f"<tr>{cells}</tr>")
    body = "\n".join(lines)
    return (
        f'<div class="box"><table>\n<thead><tr>{top}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>'
    )


def _recovery(table: Sequence[RecoveryRow], seeds: int) -> str:
    if not table:
        return "<p>There is none: every document was trained only once.</p>"
    head = ["Epoch", "Network", "Toy"]
    rows = [[str(row.epoch), _network_score(row, seeds), str(row.toy)] for row in table]
    if all(row.toy_noisy is not None for row in table):
        head.append("Toy with noise")
        rows = [[*cells, str(row.toy_noisy)] for cells, row in zip(rows, table, strict=True)]
    return _table(head, rows)


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
    return _table(["Prediction", "Of", "R²"], rows)


def _parameters(comparison: Comparison) -> str:
    if not comparison.parameters:
        return "<p>None were given.</p>"
    rows = []
    for name, value, low, high, reason in comparison.parameters:
        if low is not None and high is not None and _known(low) and _known(high):
            interval = f"{low:.4g} to {high:.4g}"
            if reason:
                interval += f" ({reason})"
        else:
            interval = f"none: {reason or 'no reason was given'}"
        shown = f"{value:.4g}" if value is not None and math.isfinite(value) else "none"
        rows.append([name, shown, interval])
    return _table(["Parameter", "Value", "Interval"], rows, words=2)


def _facts(comparison: Comparison) -> str:
    if not comparison.facts:
        return "<p>Nothing is known about the run but its losses.</p>"
    rows = [[name, str(value)] for name, value in comparison.facts.items()]
    return _table(["Fact", "Value"], rows, words=1)
