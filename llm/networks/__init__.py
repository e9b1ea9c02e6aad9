"""Networks: shapes, weights, the layers and precision of them, and faster forms of the same arithmetic.

Imports `llm.config`, `llm.names`, what reads checkpoints in `llm.data` (hub, gguf, quiet) and `toymodel.base`.
"""
