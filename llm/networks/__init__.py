"""Networks: shapes, random and pretrained weights, and faster forms of the same arithmetic.

Imports `llm.config`, `llm.data.hub` and `toymodel.base`.
"""
