"""What documents share and how they depart from it: covariance, likelihood, the fit to curves, draws from it.

Imports `bridge.model` and `bridge.search`.
"""
