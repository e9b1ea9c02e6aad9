"""Networks: shapes, weights, the layers and precision of them, and faster forms of the same arithmetic.

Imports `llm.config`, `llm.data.hub` and `toymodel.base`.
"""
