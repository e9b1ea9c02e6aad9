"""Run folders: what is written, read back, shown and tracked of a run.

Imports `llm.config`, the order of episodes from tasks, and `toymodel`; nothing here trains.
"""
