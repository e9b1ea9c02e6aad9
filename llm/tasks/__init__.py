"""What is trained on: the TaskAdapter protocol, its registry, and documents as tasks.

Imports data and networks; the registry imports `llm.vision` where an image task is asked for.
"""
