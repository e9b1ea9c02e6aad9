"""Findings in words: the first screen is the answer, the rest how it was found."""

from __future__ import annotations

import math
import textwrap

from bridge.estimate.result import FitResult
from bridge.judge.ahead import EpochsAhead
from bridge.judge.findings import Findings, find
from bridge.judge.forecast import Forecast
from bridge.judge.goodness import Candidate
from bridge.judge.predictions import Prediction
from toymodel import RecoveryScore

__all__ = ["candidate_lines", "prediction_lines", "report"]

_WIDE = 100
# Columns of numbers beside a label of this width.
_LABEL = 30
_PER_LINE = 9


def report(found: Findings | FitResult, ahead: Forecast | None = None) -> str:
    """The whole report of a fit.

    Args:
        found: what was found; of a fit alone it is computed here.
        ahead: its forecast, where only the fit is given.
    """
    if not isinstance(found, Findings):
        found = find(found, ahead)
    parts = [_form(found), _values(found), _explained(found), _recovery(found), _theory(found)]
    parts += [prediction_lines(p) for p in found.predictions]
    if found.epochs_ahead is not None:
        parts.append(_ahead(found.fit, found.epochs_ahead))
    parts += [_failures(found), _how(found)]
    if found.candidates:
        parts.append(candidate_lines(found.candidates))
    if found.bootstrap:
        parts.append(_bootstrap(found))
    return "\n\n".join("\n".join(part) for part in parts if part)


def _wrap(label: str, text: str) -> list[str]:
    """A line that begins with a label, folded under it."""
    return textwrap.wrap(
        text, _WIDE, initial_indent=f"{label:<12}", subsequent_indent=" " * 12, break_long_words=False
    ) or [label]


def _form(found: Findings) -> list[str]:
    fit, data = found.fit, found.fit.data
    count = f"{len(fit.datasets)} runs jointly, each " if len(fit.datasets) > 1 else ""
    return [
        *_wrap("Fitted", f"{count}{data.tasks} documents through {data.epochs} epochs: "
                         f"{fit.problem.observations} losses"),
        *_wrap("Form", fit.mechanism.name),
        *_wrap("Why", found.reason),
    ]  # fmt: skip


def _values(found: Findings) -> list[str]:
    fit = found.fit
    wide = max(22, *(len(p.name) + 2 for p in fit.parameters))
    lines = [f"{'parameter':<{wide}}{'value':>9}{'95% interval':>22}   meaning"]
    for p in fit.parameters:
        ends = f"{p.low:.4g} to {p.high:.4g}" if p.low is not None and p.high is not None else "none"
        lines.append(f"{p.name:<{wide}}{p.value:>9.4g}{ends:>22}   {p.meaning}")
        if p.reason:
            lines += textwrap.wrap(p.reason, _WIDE, initial_indent="  none: ", subsequent_indent=" " * 8)
    for number in range(len(fit.datasets)):
        k, c = fit.scales(number), fit.floors(number)
        tag = f"[{number + 1}]" if len(fit.datasets) > 1 else ""
        floors = f", floors {c.min():.3g} to {c.max():.3g}" if fit.mechanism.floor else ""
        loss = f"{k.min():.3g} to {k.max():.3g}{floors}"
        lines.append(f"{'scales' + tag:<{wide}}{loss}   (of each document; solved for)")
    return lines


def _explained(found: Findings) -> list[str]:
    lines = [f"{'Explained (R^2)':<{_LABEL}}{'toy':>8}", _number("curves by lag", found.curves_r2),
             _number("all losses", found.fit.r2)]  # fmt: skip
    ahead = found.ahead
    if ahead is not None and ahead.r2 is not None:
        first, last = ahead.fitted_epochs + 1, found.fit.data.epochs
        which = f"epoch {last}" if first == last else f"epochs {first}-{last}"
        carried = f"mechanism alone {ahead.r2_mechanism:.3f}, {ahead.carried:.2f} of a residual comes again"
        lines.append(_number(f"{which}, held out", ahead.r2, carried))
        if len(ahead.weights) > 1:
            told = [f"{name} {weight:.2f}" for name, weight in ahead.weights.items() if weight >= 0.005]
            forms = "; ".join(told + ["others less than .005"] * (len(told) < len(ahead.weights)))
            words = f"by all forms, each with its probability: {forms}"
            lines += textwrap.wrap(words, _WIDE, initial_indent=" " * 4, subsequent_indent=" " * 6)
        (best, value), *others = sorted(ahead.nulls.items(), key=lambda item: -item[1])
        lines.append(_number("  best null", value, best))
        rest = "; ".join(f"{name} {value:.3f}" for name, value in others)
        lines += textwrap.wrap("others: " + rest, _WIDE, initial_indent=" " * 4, subsequent_indent=" " * 6)
    elif ahead is not None:
        lines += _wrap("  held out", f"none: {ahead.reason}")
    if found.held_out_documents_r2 is not None:
        lines.append(_number("every fifth document", found.held_out_documents_r2, "from the others"))
    return lines


def _number(label: str, value: float, words: str = "") -> str:
    return f"  {label:<{_LABEL - 2}}{value:>8.3f}" + (f"   {words}" if words else "")


def _recovery(found: Findings) -> list[str]:
    if not found.recovery:
        return []
    lines: list[str] = []
    reasons = dict.fromkeys(
        s.reason for r in found.recovery for s in (r.network, r.toy, r.toy_with_noise) if not s
    )
    for at in range(0, len(found.recovery), _PER_LINE):
        part = found.recovery[at : at + _PER_LINE]
        lines.append(f"{'Recovery score of epoch':<{_LABEL}}" + "".join(f"{r.epoch:>8}" for r in part))
        for label, scores in (
            ("network", [r.network for r in part]),
            ("toy", [r.toy for r in part]),
            ("toy, documents' departures", [r.toy_with_noise for r in part]),
        ):
            lines.append(f"  {label:<{_LABEL - 2}}" + "".join(f"{_score(s):>8}" for s in scores))
    return lines + [f"  - {reason}" for reason in reasons]


def _score(score: RecoveryScore) -> str:
    return f"{score.value:.3f}" if score else "-"


def _theory(found: Findings) -> list[str]:
    lines: list[str] = []
    for i in found.implications:
        which = f"channel {i.channel}: " if len(found.implications) > 1 else ""
        stable = f"stable (spectral radius {i.radius:.3f})" if i.radius < 1 else (
            f"not stable (spectral radius {i.radius:.3f})"
        )  # fmt: skip
        approached = f"recovery approaches {i.recovery}" if i.recovery else (
            f"recovery approaches no value ({i.recovery.reason})"
        )  # fmt: skip
        lines += _wrap("Follows" if not lines else "", f"{which}shares A {i.slow:.3f}, B {i.fast:.3f} in the "
                       f"last epoch; {stable}; the pattern moves {i.transport:.2f} documents an epoch; "
                       f"{approached}")  # fmt: skip
    lines += _wrap("", f"one epoch more would score {found.next_epoch}")
    return lines


def prediction_lines(p: Prediction) -> list[str]:
    """One predicted run."""
    lines = _wrap("Predicted", f"{p.run} ({p.change.words}), from this fit alone")
    lines.append(f"{'  R^2':<{_LABEL}}{'toy':>8}{'as if nothing changed':>24}")
    lines.append(f"{'    all losses':<{_LABEL}}{p.r2:>8.3f}{p.null_r2:>24.3f}")
    if p.later_r2 is not None and p.later_null_r2 is not None:
        lines.append(f"{'    after the first epoch':<{_LABEL}}{p.later_r2:>8.3f}{p.later_null_r2:>24.3f}")
    for title, (found, guess, null) in (
        ("mean loss after each epoch", p.after_epochs),
        ("loss right before training", p.online),
        ("recovery score", tuple([s.value for s in column] for column in p.scores)),
    ):
        if not len(found):
            continue
        lines.append(f"  {title}")
        for label, values in (("found", found), ("toy", guess), ("as if nothing changed", null)):
            shown = "".join(f"{v:>8.3f}" if math.isfinite(v) else f"{'-':>8}" for v in values)
            lines.append(f"    {label:<{_LABEL - 4}}{shown}")
    for name in p.change.unmodelled:
        lines += _wrap("  left out", name)
    if p.change.unchecked:
        lines += _wrap("  unchecked", p.change.unchecked)
    return lines


def _ahead(fit: FitResult, ahead: EpochsAhead) -> list[str]:
    of = ["the form"] * (len(fit.family) > 1) + ["parameters"]
    of += ["departures"] if fit.curves else ["residuals", "what curves leave unexplained"]
    titles = ("mean loss at its end", "loss before training", "recovery score")
    lines = [
        f"Further epochs, with 95% intervals ({', '.join(of[:-1])} and {of[-1]} uncertain)",
        f"{'  epoch':<10}" + "".join(f"{title:>28}" for title in titles),
    ]
    rows = zip(ahead.after, ahead.before, ahead.scores, strict=True)
    for epoch, row in enumerate(rows, start=ahead.fitted_epochs + 1):
        lines.append(f"  {epoch:<8}" + "".join(f"{cell!s:>28}" for cell in row))
    return lines


def _failures(found: Findings) -> list[str]:
    if not found.failures:
        return _wrap("Fails", "nowhere that was looked at (nulls, stability, prior predictive check, scores)")
    lines: list[str] = []
    for failure in found.failures:
        lines += _wrap("Fails" if not lines else "", failure)
    return lines


def _how(found: Findings) -> list[str]:
    fit = found.fit
    how = {"profile": "read off profiles", "quadratic": "from the curvature (profile() gives exact ones)",
           "posterior": "of the posterior", "none": "not asked for"}[fit.intervals_by]  # fmt: skip
    lines = _wrap("How", f"{len(fit.starts)} searches, {fit.evaluations} evaluations, {fit.seconds:.1f} s; "
                         f"intervals {how}; weak priors on all parameters; residuals of standard deviation "
                         f"{fit.deviation:.3g}, correlation {fit.noise.correlation:.2f} between neighbouring "
                         "episodes of a document")  # fmt: skip
    if math.isfinite(fit.noise.dimension):
        lines += _wrap("", f"documents correlated as in a toy model of M = {fit.noise.dimension:.3g} "
                           f"dimensions ({fit.noise.pairs_determined:.0f} of "
                           f"{sum(map(len, fit.solution.pairs))} pairs known)")  # fmt: skip
    for note in found.notes:
        lines += _wrap("Note", note)
    names = fit.names
    strong = [
        f"{names[i]} with {names[j]} {fit.correlation[i, j]:+.2f}"
        for i in range(len(names))
        for j in range(i)
        if abs(fit.correlation[i, j]) > 0.9
    ]
    if strong:
        lines += _wrap("Note", "estimates correlated above 0.9: " + ", ".join(strong))
    return lines


def candidate_lines(candidates: tuple[Candidate, ...]) -> list[str]:
    """Forms and null models by information criteria."""
    lines = [f"{'form':<40}{'parameters':>11}{'R^2':>7}{'shift':>7}{'recovery':>10}{'AIC':>8}{'BIC':>8}"]
    for c in candidates:
        error = "-" if c.recovery_error is None else f"{c.recovery_error:.3f}"
        lines.append(f"{c.name:<40}{c.parameters:>11.0f}{c.r2:>7.3f}{c.shift_averaged:>7.3f}{error:>10}"
                     f"{c.aic:>8.0f}{c.bic:>8.0f}")  # fmt: skip
    return lines


def _bootstrap(found: Findings) -> list[str]:
    rows = [f"{name:<24}{low:>10.4g}{high:>10.4g}" for name, (low, high) in found.bootstrap.items()]
    return ["Documents drawn anew, middle 95% (least to largest below 40 draws)", *rows]
