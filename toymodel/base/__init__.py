"""What every package stands on: the one error, whole files, checksums, locks, memory, words.

Imports nothing of the project.
"""
