"""In which order documents came, told from a training log alone, and how much of a log it takes to tell.

Imports nothing of `bridge`.
"""
