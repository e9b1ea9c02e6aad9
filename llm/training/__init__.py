"""A run as a session, the loop over its episodes, when it is saved, and probes of what it left.

Imports tasks, steps, probes, costs and run folders.
"""
