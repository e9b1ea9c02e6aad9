"""The fit in words and as JSON, always in the same order."""

from __future__ import annotations

from typing import Any

from bridge.fit import FitResult, Forecast
from toymodel import LossMatrix, recovery_scores

__all__ = ["recovery_rows", "report", "to_json"]


def recovery_rows(network: LossMatrix, toy: LossMatrix) -> list[tuple[int, str, str]]:
    """Epoch, the network's recovery score and the toy's, in words."""
    pairs = zip(recovery_scores(network), recovery_scores(toy), strict=True)
    return [(n, str(a), str(b)) for n, (a, b) in enumerate(pairs, start=1)]


def report(result: FitResult, ahead: Forecast) -> str:
    """Method and counts, goodness, warnings, values with intervals and starts, correlations, recovery."""
    data = result.data
    lines = [
        f"Mechanism   {result.mechanism.name}",
        f"Fit         {data.values.size} losses ({data.tasks} documents, {data.epochs} epochs), "
        f"{result.starts} starts, {result.evaluations} steps, {result.seconds:.2f} s",
        f"R^2         {result.r2:.3f} over all losses",
    ]
    if ahead.r2 is None:
        lines.append(f"Held out    none: {ahead.reason}")
    else:
        lines.append(f"Held out    R^2 {ahead.r2:.3f} on the epochs after the first {ahead.fitted_epochs}; "
                     + "; ".join(f"null '{k}' {v:.3f}" for k, v in ahead.nulls.items()))  # fmt: skip
        better = [k for k, v in ahead.nulls.items() if v > ahead.r2]
        if better:
            lines.append(f"Warning     the mechanism predicts less well than: {', '.join(better)}")
    if result.r2_linear_start > 1e-3:
        lines.append(
            f"Warning     starts disagree by up to {result.r2_linear_start:.3f} in R^2; the best is shown"
        )
    lines += [f"Warning     flat direction: {words}" for words in result.flat_directions]
    lines.append(
        "Note        intervals (95%) take losses as independent, which neighbours are not: optimistic"
    )
    lines += ["", f"{'parameter':<20}{'value':>10}{'low':>10}{'high':>10}{'start':>10}"]
    for p in result.parameters:
        ends = f"{p.low:>10.4g}{p.high:>10.4g}" if p.low is not None else f"{'-':>10}{'-':>10}"
        lines.append(
            f"{p.name:<20}{p.value:>10.4g}{ends}{p.start:>10.4g}" + (f"  {p.reason}" if p.reason else "")
        )
    lines.append(f"{'floor':<20}{result.floor:>10.4g}   (solved for with the {data.tasks} scales)")
    names = [p.name for p in result.parameters]
    strong = [
        f"{names[i]} with {names[j]} {result.correlation[i, j]:+.2f}"
        for i in range(len(names))
        for j in range(i)
        if abs(result.correlation[i, j]) > 0.9
    ]
    lines.append("Correlations above 0.9: " + (", ".join(strong) or "none"))
    lines += ["", "recovery score   network   toy"]
    lines += [f"epoch {n:<10} {a:>8}   {b}" for n, a, b in recovery_rows(data, result.prediction)]
    return "\n".join(lines)


def to_json(result: FitResult, ahead: Forecast) -> dict[str, Any]:
    """Everything in the report as plain values; None, with a reason beside it, where there is no number."""

    def scores(losses: LossMatrix) -> list[dict[str, Any]]:
        return [
            {"epoch": n, "value": s.value if s else None, "reason": s.reason}
            for n, s in enumerate(recovery_scores(losses), start=1)
        ]

    return {
        "mechanism": result.mechanism.name,
        "parameters": {
            p.name: {"value": p.value, "low": p.low, "high": p.high, "reason": p.reason, "meaning": p.meaning}
            for p in result.parameters
        },
        "floor": result.floor,
        "scales": result.scales.tolist(),
        "r2": result.r2,
        "held_out_r2": ahead.r2,
        "held_out_reason": ahead.reason,
        "fitted_epochs": ahead.fitted_epochs,
        "nulls": ahead.nulls,
        "flat_directions": list(result.flat_directions),
        "recovery": {"network": scores(result.data), "toy": scores(result.prediction)},
    }
