"""The fit in words and as JSON, always in the same order."""

from __future__ import annotations

import math
from typing import Any

from bridge.estimate.result import FitResult
from bridge.judge.forecast import Forecast
from bridge.judge.goodness import Goodness, goodness, noisy_recovery
from bridge.judge.prior_predictive import Feature
from toymodel import LossMatrix, RecoveryScore, recovery_scores

__all__ = ["prior_predictive_lines", "recovery_rows", "report", "to_json"]


def recovery_rows(network: LossMatrix, toy: LossMatrix) -> list[tuple[int, str, str]]:
    """Epoch, the network's recovery score and the toy's, in words."""
    pairs = zip(recovery_scores(network), recovery_scores(toy), strict=True)
    return [(n, str(a), str(b)) for n, (a, b) in enumerate(pairs, start=1)]


def prior_predictive_lines(found: list[Feature]) -> list[str]:
    """The first diagnostic in words."""
    out = [f for f in found if not f.within]
    if not out:
        return [f"Reach       all {len(found)} features lie within what the mechanism's priors produce"]
    return [
        f"Reach       outside: {f.name} is {f.value:.3g}; the priors give {f.low:.3g} to {f.high:.3g}"
        for f in out
    ]


def report(result: FitResult, ahead: Forecast | None = None) -> str:
    """Method and counts, goodness, warnings, values with intervals and starts, correlations, recovery."""
    judged = goodness(result)
    lines = [*_method(result), *_goodness(result, judged, ahead), *_warnings(result, ahead), ""]
    lines += _values(result)
    lines += ["", *_recovery(result)]
    return "\n".join(lines)


def _method(result: FitResult) -> list[str]:
    data = result.data
    count = f"{len(result.datasets)} runs jointly, " if len(result.datasets) > 1 else ""
    lines = [
        f"Mechanism   {result.mechanism.name}",
        f"Fit         {count}{result.problem.observations} losses "
        f"({data.tasks} documents, {data.epochs} epochs), "
        f"{len(result.starts)} starts, {result.evaluations} evaluations, {result.seconds:.1f} s",
        f"Noise       standard deviation {result.deviation:.3g}, correlation "
        f"{result.noise.correlation:.2f} between neighbouring episodes of a document; in the intervals",
    ]
    if math.isfinite(result.noise.dimension):
        lines.append(
            f"Documents   correlated as in a toy model of M = {result.noise.dimension:.3g} dimensions "
            f"({result.noise.pairs_determined:.0f} of {sum(map(len, result.solution.pairs))} pairs known)"
        )
    return lines


def _goodness(result: FitResult, judged: Goodness, ahead: Forecast | None) -> list[str]:
    lines = [
        f"R^2         {result.r2:.3f} over all losses, "
        f"{judged.shift_averaged:.3f} on the shift-averaged curve"
    ]
    if judged.recovery_error is not None:
        lines[0] += f"; recovery scores off by {judged.recovery_error:.3f} (median)"
    if ahead is None:
        return lines
    if ahead.r2 is None:
        lines.append(f"Held out    none: {ahead.reason}")
    else:
        lines.append(f"Held out    R^2 {ahead.r2:.3f} on the epochs after the first {ahead.fitted_epochs} "
                     f"(mechanism alone {ahead.r2_mechanism:.3f}; residuals carried, {ahead.carried:.2f} of "
                     "each an epoch); "
                     + "; ".join(f"null '{k}' {v:.3f}" for k, v in ahead.nulls.items()))  # fmt: skip
    return lines


def _warnings(result: FitResult, ahead: Forecast | None) -> list[str]:
    lines = []
    if ahead is not None and ahead.r2 is not None:
        better = [name for name, value in ahead.nulls.items() if value > ahead.r2]
        if better:
            lines.append(f"Warning     the mechanism predicts less well than: {', '.join(better)}")
    if result.agreeing_starts < len(result.starts):
        lines.append(
            f"Warning     {result.agreeing_starts} of {len(result.starts)} starts agree within 1%; "
            "the best is shown"
        )
    if not result.solution.converged:
        lines.append("Warning     the last search ended at its limit of evaluations")
    lines += [f"Warning     flat direction: {words}" for words in result.flat_directions]
    if result.mechanism.channels > 1:
        lines.append(
            "Warning     several channels have several optima of nearly equal worth; intervals know one"
        )
    how = {"profile": "read off profiles", "quadratic": "from the curvature (profile() gives exact ones)",
           "none": "not asked for"}[result.intervals_by]  # fmt: skip
    lines.append(f"Note        95% intervals {how}; weak priors on all parameters (Term.centre, Term.width)")
    return lines


def _values(result: FitResult) -> list[str]:
    wide = max(22, *(len(p.name) + 2 for p in result.parameters))
    lines = [f"{'parameter':<{wide}}{'value':>10}{'low':>10}{'high':>10}{'start':>10}"]
    for p in result.parameters:
        ends = f"{p.low:>10.4g}{p.high:>10.4g}" if p.low is not None else f"{'-':>10}{'-':>10}"
        reason = f"  {p.reason}" if p.reason else ""
        lines.append(f"{p.name:<{wide}}{p.value:>10.4g}{ends}{p.start:>10.4g}{reason}")
    for number in range(len(result.datasets)):
        k, c = result.scales(number), result.floors(number)
        tag = f"[{number + 1}]" if len(result.datasets) > 1 else ""
        floors = f", floors {c.min():.3g} to {c.max():.3g}" if result.mechanism.floor else ""
        lines.append(f"{'scales' + tag:<{wide}}{k.min():.3g} to {k.max():.3g}{floors}   (solved for)")
    names = result.names
    strong = [
        f"{names[i]} with {names[j]} {result.correlation[i, j]:+.2f}"
        for i in range(len(names))
        for j in range(i)
        if abs(result.correlation[i, j]) > 0.9
    ]
    return [*lines, "Correlations above 0.9: " + (", ".join(strong) or "none")]


def _recovery(result: FitResult) -> list[str]:
    lines = []
    for number, (data, guess) in enumerate(zip(result.datasets, result.predictions, strict=True), start=1):
        tag = f" (run {number})" if len(result.datasets) > 1 else ""
        noisy = [str(s) for s in noisy_recovery(result)] if number == 1 else []
        lines.append(f"recovery score   network     toy{'  toy with noise' if noisy else ''}{tag}")
        for n, a, b in recovery_rows(data, guess):
            lines.append(f"epoch {n:<10} {a:>7}   {b}   {noisy[n - 1] if noisy else ''}".rstrip())
    return lines


def to_json(result: FitResult, ahead: Forecast | None = None) -> dict[str, Any]:
    """Everything in the report as plain values; None, with a reason beside it, where there is no number."""

    def scores(found: list[RecoveryScore]) -> list[dict[str, Any]]:
        return [
            {"epoch": n, "value": s.value if s else None, "reason": s.reason}
            for n, s in enumerate(found, start=1)
        ]

    judged = goodness(result)
    dimension = result.noise.dimension
    record = {
        "mechanism": result.mechanism.name,
        "parameters": {
            p.name: {"value": p.value, "low": p.low, "high": p.high, "reason": p.reason, "meaning": p.meaning}
            for p in result.parameters
        },
        "scales": result.scales().tolist(),
        "floors": result.floors().tolist(),
        "noise": {
            "deviation": result.deviation,
            "correlation": result.noise.correlation,
            "dimension": dimension if math.isfinite(dimension) else None,
        },
        "r2": result.r2,
        "r2_shift_averaged": judged.shift_averaged,
        "recovery_error": judged.recovery_error,
        "intervals_by": result.intervals_by,
        "flat_directions": list(result.flat_directions),
        "recovery": {
            "network": scores(recovery_scores(result.data)),
            "toy": scores(recovery_scores(result.prediction)),
            "toy_with_noise": scores(noisy_recovery(result)),
        },
    }
    if ahead is None:
        numbers = dict.fromkeys(("held_out_r2", "held_out_r2_mechanism", "residual_carried"))
        return record | numbers | {
            "held_out_reason": "no forecast asked for", "fitted_epochs": 0, "nulls": {},
        }  # fmt: skip
    return record | {
        "held_out_r2": ahead.r2,
        "held_out_r2_mechanism": ahead.r2_mechanism,
        "residual_carried": ahead.carried if ahead.r2 is not None else None,
        "held_out_reason": ahead.reason,
        "fitted_epochs": ahead.fitted_epochs,
        "nulls": ahead.nulls,
    }
