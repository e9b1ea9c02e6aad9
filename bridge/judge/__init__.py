"""How good a fit is and what it says: nulls, forecasts, goodness, what theory makes of it.

Imports `bridge.model` and `bridge.estimate`.
"""
