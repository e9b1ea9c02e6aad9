"""The session of one run and the loop over its episodes.

Imports tasks, steps, probes and run folders.
"""
