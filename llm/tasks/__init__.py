"""What is trained on: the TaskAdapter protocol, documents as tasks, and the order they come in.

Imports `llm.data`, `llm.networks` and what both stand on; `llm.registry` knows every kind of task.
"""
