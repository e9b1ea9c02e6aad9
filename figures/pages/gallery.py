"""gallery.html: every figure beside what the paper found and what the runs here say, in one file."""

from __future__ import annotations

import base64
import html
import os
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from bridge.present.html_page import page
from figures.catalogue import FIGURES, caption, commands, documents, families, panel
from figures.claims.claims import ClaimResult
from figures.claims.verdicts import Verdict
from figures.evidence.collection import Runs
from figures.evidence.groups import Family
from figures.evidence.matching import model_name
from figures.evidence.scales import Scale
from figures.panels.curves import Curves
from toymodel.base.files import atomic_write

__all__ = ["write_gallery"]

_STYLE = """
:root { --yes: #00593f; --no: #8f3a00; --none: #555555; }
@media (prefers-color-scheme: dark) { :root { --yes: #5fd3ae; --no: #ffac70; --none: #b0b0b0; } }
body { max-width: 72rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 0.5rem; padding-top: 0.8rem; border-top: 1px solid var(--line); }
p { max-width: 46rem; }
a { color: inherit; }
nav a { display: inline-block; padding: 0.3rem 0.55rem; margin: 0 0.2rem 0.35rem 0; border-radius: 0.3rem;
  background: var(--soft); text-decoration: none; }
table { font-size: 0.92rem; }
.figure { display: grid; grid-template-columns: minmax(0, 1.35fr) minmax(0, 1fr); gap: 0 2rem;
  align-items: start; }
@media (max-width: 52rem) { .figure { grid-template-columns: minmax(0, 1fr); } }
.figure img { display: block; width: 100%; max-width: 46rem; height: auto; background: #ffffff; }
.figure h3 { font-size: 0.95rem; margin: 0.9rem 0 0.1rem; }
.figure p, .figure ul { margin: 0.1rem 0 0.4rem; }
.figure ul { padding-left: 1.1rem; }
@media (max-width: 44rem) {
  /* A row becomes a card: nothing to scroll sideways on a phone. */
  table, tbody, tr, td { display: block; }
  thead { display: none; }
  tr { padding: 0.6rem 0; border-bottom: 1px solid var(--line); }
  td { border: 0; padding: 0; }
  td.at::before { content: attr(data-at) ": "; }
  td br { display: none; }
}
.state { font-weight: 600; white-space: nowrap; }
.yes { color: var(--yes); } .no { color: var(--no); } .none { color: var(--none); }
.small { font-size: 0.87rem; }
pre { margin: 0.2rem 0; padding: 0.6rem 0.7rem; font-size: 0.82rem; white-space: pre-wrap; }
details { margin-top: 0.6rem; }
summary { cursor: pointer; padding: 0.35rem 0; }
"""
_WHAT = """Networks that are trained on the same documents in the same order, epoch after epoch, begin to
recover a document before it comes round again (arXiv 2403.09613). Each figure of the paper is drawn below
from runs made with this software, with the toy model beside it where it has a counterpart."""
_COLUMNS: dict[Scale, str] = {
    "small": "Small networks", "pythia": "Pythia's sizes", "pretrained": "Pretrained",
}  # fmt: skip
_HEAD = ("Fig.", "The paper says", *_COLUMNS.values(), "Toy", "Measured")
_CLASSES = {"holds": "yes", "does not hold": "no", "not testable here": "none"}


def write_gallery(
    path: str | os.PathLike[str],
    runs: Runs,
    pictures: Mapping[str, bytes],
    judged: Sequence[ClaimResult],
) -> None:
    """Write the page, whole or not at all; it needs nothing but itself.

    Args:
        path: the file.
        runs: what the numbers are computed from.
        pictures: PNG by figure; a figure without one is shown with the command that makes its runs.
        judged: the claims with their verdicts, `figures.claims.claims.evaluate` of the same runs.
    """
    links = "".join(f'<a href="#{name}">{_short(name)}</a>' for name in FIGURES)
    head = "".join(f'<th scope="col">{name}</th>' for name in _HEAD)
    rows = "".join(_row(one) for one in judged)
    body = [
        f"<p>{_WHAT}</p>",
        "<ul>" + "".join(f"<li>{line}</li>" for line in _kinds(runs)) + "</ul>",
        f'<nav aria-label="Figures">{links}</nav>',
        '<h2 id="table">Paper against ours</h2>',
        f"<p>Of {len(judged)} claims &ndash; {_counted(judged)}. A claim holds if every seed says so; a "
        "disagreement is a finding about the networks here, not about the paper's. Effects are mean ± "
        "standard deviation over seeds. The same as data: claims.json.</p>",
        f'<div class="box"><table><thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>',
        *(_section(name, runs, pictures.get(name), judged) for name in FIGURES),
    ]
    with atomic_write(path, "w") as file:
        file.write(page("Anticipatory recovery: the paper's figures, made here", "\n".join(body), _STYLE))


def _kinds(runs: Runs) -> list[str]:
    """Which networks stand behind the page, a line for each scale, as HTML."""
    found: dict[Scale, list[Family]] = {}
    for name in FIGURES:
        for one in families(name, runs):
            found.setdefault(one.scale, []).append(one)
    lines = []
    for scale, several in found.items():
        shown = {run.config.id: run for one in several for run in one.runs}.values()
        ordered = sorted(shown, key=lambda run: run.manifest.get("model", {}).get("parameters", 0))
        names = ", ".join(dict.fromkeys(model_name(run.config.model) for run in ordered))
        data = " and ".join(dict.fromkeys(documents(one) for one in several))
        weights = "pretrained" if scale == "pretrained" else "random"
        what = {"small": "random networks, not the paper's"}.get(scale, f"{names} with {weights} weights")
        line = f"{what}, on {data}; {len(shown)} runs."
        lines.append(f"<strong>{_COLUMNS.get(scale, 'Others')}</strong>: {html.escape(line)}")
    return lines or ["There are no runs of networks yet."]


def _counted(judged: Sequence[ClaimResult]) -> str:
    """How many claims hold at each scale, in words."""
    told = []
    for scale, name in _COLUMNS.items():
        count = Counter(one.networks[scale].state for one in judged)
        told.append(
            f"{name}: {count['holds']} hold, {count['does not hold']} do not, "
            f"{count['not testable here']} cannot be tested with these runs"
        )
    return "; ".join(told)


def _short(name: str) -> str:
    return {"sec4": "Section 4"}.get(name, name if name[0].isdigit() else name.capitalize())


def _state(verdict: Verdict) -> str:
    return f'<span class="state {_CLASSES[verdict.state]}">{verdict.state}</span>'


def _cell(verdict: Verdict) -> str:
    """The verdict above its numbers; in a word where there are none."""
    if not verdict.values:
        return f'<span class="none">{html.escape(verdict.reason)}</span>'
    return f'{_state(verdict)}<br> <span class="small">{html.escape(_effect(verdict))}</span>'


def _effect(verdict: Verdict) -> str:
    """The numbers, and with which settings where these are not the preset's."""
    return "; ".join(filter(None, (str(verdict), verdict.settings)))


def _row(one: ClaimResult) -> str:
    claim = one.claim
    figure = f'<a href="#{claim.figure}">{_short(claim.figure)}</a>'
    networks = "".join(
        f'<td class="at" data-at="{name}">{_cell(one.networks[scale])}</td>'
        for scale, name in _COLUMNS.items()
    )
    return (
        f'<tr><td>{figure}</td><td class="words">{html.escape(claim.statement)}</td>{networks}'
        f'<td class="at" data-at="Toy">{_cell(one.toy)}</td>'
        f'<td class="words small at" data-at="Measured">{html.escape(claim.measure)}</td></tr>\n'
    )


def _section(name: str, runs: Runs, picture: bytes | None, judged: Sequence[ClaimResult]) -> str:
    entry = FIGURES[name]
    head = _short(name) if not name[0].isdigit() else f"Figure {name}"
    parts = [f'<section><h2 id="{name}">{head}: {html.escape(entry.title)}</h2>\n<div class="figure"><div>']
    if picture is not None:
        data = base64.b64encode(picture).decode("ascii")
        alt = html.escape(f"{head}: {entry.title}", quote=True)
        parts.append(f'<img alt="{alt}" loading="lazy" src="data:image/png;base64,{data}">')
    else:
        parts.append("<p><em>No runs of this figure are here; the command makes them.</em></p>")
    parts.append("</div><div>")
    if entry.found:
        parts.append(f"<h3>The paper found</h3><p>{html.escape(entry.found)}</p>")
    if lines := _found(name, runs, judged):
        parts.append("<h3>Found here</h3><ul>" + "".join(f"<li>{line}</li>" for line in lines) + "</ul>")
    made = html.escape("\n".join(commands(name, runs)))
    parts.append(f"<h3>Commands</h3><pre>{made}</pre>")
    if picture is not None:
        words = html.escape(_body(caption(name, runs)))
        parts.append(
            f"<details><summary>What is shown, and from which runs</summary><pre>{words}</pre></details>"
        )
    return "\n".join([*parts, "</div></div></section>\n"])


def _body(words: str) -> str:
    """A caption without its first line and its last part, which the section has already."""
    return words.partition("\n\n")[2].partition("\n\nThe paper found:")[0].partition("\n\nCommand:")[0]


def _found(name: str, runs: Runs, judged: Sequence[ClaimResult]) -> list[str]:
    """Numbers from the data, as HTML: recovery scores, then each claim with its verdicts."""
    lines = []
    shown = panel(name) if FIGURES[name].needs_runs else None
    if isinstance(shown, Curves) and shown.bars:
        for one in families(name, runs):
            told = [f"{label} {_mean(values)}" for label, values in shown.scores(one)]
            lines.append(html.escape(f"Recovery scores in the last epoch, {one.title}: {'; '.join(told)}."))
    for result in judged:
        claim = result.claim
        if claim.figure != name:
            continue
        verdicts = {_COLUMNS[scale]: verdict for scale, verdict in result.networks.items()}
        told = [
            f"{where}: {_state(v)}" + (f", {html.escape(_effect(v))}" if v.values else "")
            for where, v in (verdicts | {"Toy": result.toy}).items()
            if v.values or where == "Toy"
        ]
        statement = html.escape(f"{claim.statement} ({claim.measure})")
        lines.append(f"{statement}. {'; '.join(told)}.")
    return lines


def _mean(values: Sequence[float]) -> str:
    if not values:
        return "no score"
    spread = f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
    return f"{np.mean(values):.2f}{spread}"
