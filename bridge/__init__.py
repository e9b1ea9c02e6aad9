"""The fit of the toy model to a loss matrix, with its uncertainty, its forecast and the null models."""

from bridge.fit import FitResult, Forecast, Parameter, fit, forecast
from bridge.mechanism import Mechanism
from bridge.report import report, to_json

__all__ = ["FitResult", "Forecast", "Mechanism", "Parameter", "fit", "forecast", "report", "to_json"]
