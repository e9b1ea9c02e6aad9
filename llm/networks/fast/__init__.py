"""Faster forms of the same arithmetic: networks without wrapping, and with backward passes written out.

Imports `llm.config`, and of `llm.networks` precision and what a step needs of a model.
"""
