"""The fit of the toy model to loss matrices, with its uncertainty, its forecasts and the null models."""

from bridge.fit import fit
from bridge.forecast import (
    Forecast,
    carry_residuals,
    forecast,
    forecast_jointly,
    held_out_documents,
    r_squared,
)
from bridge.mechanism import Mechanism
from bridge.nulls import NULLS, Null, continuations
from bridge.profile import Profile
from bridge.report import report, to_json
from bridge.result import FitResult, Start
from bridge.uncertainty import Noise, Parameter

__all__ = [
    "NULLS",
    "FitResult",
    "Forecast",
    "Mechanism",
    "Noise",
    "Null",
    "Parameter",
    "Profile",
    "Start",
    "continuations",
    "fit",
    "carry_residuals",
    "forecast",
    "forecast_jointly",
    "held_out_documents",
    "r_squared",
    "report",
    "to_json",
]
