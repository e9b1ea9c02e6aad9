"""How gradient steps and evaluations are executed: eagerly or as CUDA graphs.

Imports `llm.config`, `llm.tasks.protocol` and what both stand on.
"""
