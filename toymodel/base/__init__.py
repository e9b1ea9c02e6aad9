"""What every package stands on: the one error, whole files, memory.

Imports nothing of the project.
"""
