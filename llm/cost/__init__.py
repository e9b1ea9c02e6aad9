"""What a run will cost before it is started, counted from shapes and measured rates.

Imports `llm.config`, networks and steps.
"""
