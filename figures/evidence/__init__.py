"""The runs that figures draw: read from run folders or the recorded results, with their fits and toys.

Imports `bridge`, `llm` and `toymodel`; draws nothing.
"""
