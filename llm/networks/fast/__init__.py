"""Faster forms of the same arithmetic: networks without wrapping, and with backward passes written out.

Imports `llm.config` alone of the project.
"""
