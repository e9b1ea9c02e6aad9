"""Run folders: what is written, read back, shown and tracked of a run.

Imports `llm.config` and `toymodel`; nothing here trains.
"""
