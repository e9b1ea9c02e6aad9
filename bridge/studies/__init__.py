"""Series of real runs made to judge the fit by, and the tables of them.

Imports all of `bridge`, and `llm` to make the runs.
"""
