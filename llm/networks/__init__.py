"""Networks: shapes, weights, the layers and precision of them, and faster forms of the same arithmetic.

Imports `llm.config`, `llm.names`, of `llm.data` what reads checkpoints (hub, gguf), and `toymodel.base`.
"""
