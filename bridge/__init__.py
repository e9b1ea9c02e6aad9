"""The fit of the toy model to loss matrices, with its uncertainty, its forecasts and the null models.

It may import `toymodel` and `llm`.
"""

import bridge.present.notebook  # noqa: F401  (registers how notebooks show a fit)
from bridge.estimate.fit import fit
from bridge.estimate.intervals import Parameter
from bridge.estimate.profile import Profile
from bridge.estimate.result import FitResult, Start
from bridge.judge.findings import Findings, find
from bridge.judge.forecast import (
    Forecast,
    carry_residuals,
    forecast,
    forecast_jointly,
    held_out_documents,
)
from bridge.judge.nulls import NULLS, Null, continuations
from bridge.model.mechanism import Mechanism
from bridge.present.record import to_json
from bridge.present.report import report
from bridge.search.uncertainty import Noise
from toymodel.measures.agreement import r_squared

__all__ = [
    "NULLS",
    "Findings",
    "FitResult",
    "Forecast",
    "Mechanism",
    "Noise",
    "Null",
    "Parameter",
    "Profile",
    "Start",
    "continuations",
    "find",
    "fit",
    "carry_residuals",
    "forecast",
    "forecast_jointly",
    "held_out_documents",
    "r_squared",
    "report",
    "to_json",
]
