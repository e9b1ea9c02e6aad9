"""Least squares over every loss: the problem, what is solved for inside it, damped descent, the noise.

Imports `bridge.model`; the other rooms of estimation build on it.
"""
