"""The explorer: one HTML file in which the mechanism moves, with recorded runs and one's own beside it.

`web/` holds its JavaScript modules, `vendor/` the third-party files that it carries. Imports
`figures.evidence`, `bridge`, `llm` and `toymodel`; nothing here draws in Python.
"""
