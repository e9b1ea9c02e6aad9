"""Many toy experiments at once: labelled, resumable, the same on any number of threads.

Imports everything of the toy model but its commands.
"""
