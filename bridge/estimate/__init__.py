"""Parameters from loss matrices: inputs, the choice of a form, its fit, intervals, and the finished result.

Imports `bridge.model`, `bridge.search` and `bridge.field`; knows nothing of how a fit is judged or shown.
"""
