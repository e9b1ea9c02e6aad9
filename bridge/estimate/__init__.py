"""Parameters from loss matrices: the problem, its solution, profiles and intervals.

Imports `bridge.model`; knows nothing of how a fit is judged or shown.
"""
