"""How gradient steps and evaluations are executed: eagerly or as CUDA graphs, in which precision.

Imports `llm.config` and the TaskAdapter protocol.
"""
