"""Findings as plain values, for fit.json: a number or None, never NaN, with a reason beside None."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bridge.estimate.result import FitResult
from bridge.judge.ahead import EpochsAhead
from bridge.judge.findings import Findings, find
from bridge.judge.forecast import Forecast
from bridge.judge.predictions import Prediction
from toymodel import RecoveryScore

__all__ = ["to_json"]


def to_json(found: Findings | FitResult, ahead: Forecast | None = None) -> dict[str, Any]:
    """Everything in the report as plain values.

    Args:
        found: what was found; of a fit alone it is computed here.
        ahead: its forecast, where only the fit is given.
    """
    if not isinstance(found, Findings):
        found = find(found, ahead)
    fit = found.fit
    record = {
        "mechanism": fit.mechanism.name,
        "reason": found.reason,
        "parameters": {
            p.name: {"value": p.value, "low": p.low, "high": p.high, "reason": p.reason, "meaning": p.meaning}
            for p in fit.parameters
        },
        "scales": fit.scales(),
        "floors": fit.floors(),
        "noise": {"deviation": fit.deviation, "correlation": fit.noise.correlation,
                  "dimension": fit.noise.dimension},
        "r2": fit.r2,
        "r2_curves": found.curves_r2,
        "recovery_error": found.recovery_error,
        "recovery_error_with_noise": found.recovery_error_with_noise,
        "intervals_by": fit.intervals_by,
        "flat_directions": fit.flat_directions,
        "recovery": {
            kind: [_score(getattr(r, kind)) | {"epoch": r.epoch} for r in found.recovery]
            for kind in ("network", "toy", "toy_with_noise")
        },
        "curves": {"network": found.curves.mean, "toy": found.toy_curves.mean, "count": found.curves.count},
        "implications": [vars(i) | {"recovery": _score(i.recovery)} for i in found.implications],
        "next_epoch": _score(found.next_epoch),
        "prior_predictive": {
            f.name: {"value": f.value, "low": f.low, "high": f.high} for f in found.prior_predictive
        },
        "failures": found.failures,
        "notes": found.notes,
        "masked": found.masked,
        "held_out_documents_r2": found.held_out_documents_r2,
        "predictions": [_prediction(p) for p in found.predictions],
        "epochs_ahead": None if found.epochs_ahead is None else _ahead(found.epochs_ahead),
        "table": [vars(c) for c in found.candidates],
        "bootstrap": {name: list(ends) for name, ends in found.bootstrap.items()},
    }  # fmt: skip
    return dict(plain(record | _held_out(found.ahead)))


def plain(value: Any) -> Any:
    """Nested values as JSON has them; a number that is none becomes None."""
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(part) for part in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value


def _score(score: RecoveryScore) -> dict[str, Any]:
    return {"value": score.value if score else None, "reason": score.reason}


def _held_out(ahead: Forecast | None) -> dict[str, Any]:
    if ahead is None:
        return dict.fromkeys(("held_out_r2", "held_out_r2_mechanism", "residual_carried")) | {
            "held_out_reason": "no forecast asked for", "fitted_epochs": 0, "nulls": {},
        }  # fmt: skip
    return {
        "held_out_r2": ahead.r2,
        "held_out_r2_mechanism": ahead.r2_mechanism,
        "residual_carried": ahead.carried if ahead.r2 is not None else None,
        "held_out_reason": ahead.reason,
        "fitted_epochs": ahead.fitted_epochs,
        "nulls": ahead.nulls,
        "forms": ahead.weights,
    }


def _prediction(p: Prediction) -> dict[str, Any]:
    kinds = ("network", "toy", "unchanged")
    return {
        "run": p.run,
        "change": p.change.words,
        "steps": p.change.steps,
        "documents": p.change.documents,
        "unmodelled": p.change.unmodelled,
        "unchecked": p.change.unchecked,
        "r2": p.r2,
        "null_r2": p.null_r2,
        "r2_after_first_epoch": p.later_r2,
        "null_r2_after_first_epoch": p.later_null_r2,
        "recovery": {k: [_score(s) for s in column] for k, column in zip(kinds, p.scores, strict=True)},
        "online_loss": dict(zip(kinds, p.online, strict=True)),
        "loss_after_epochs": dict(zip(kinds, p.after_epochs, strict=True)),
    }


def _ahead(ahead: EpochsAhead) -> dict[str, Any]:
    return {
        "fitted_epochs": ahead.fitted_epochs,
        "level": 0.95,
        **{
            name: [vars(interval) for interval in column]
            for name, column in (
                ("loss_after_epochs", ahead.after),
                ("online_loss", ahead.before),
                ("recovery", ahead.scores),
            )
        },
    }
