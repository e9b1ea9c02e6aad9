"""Orders of training: the theory's picture, and the second version's rows from runs.

Imports `figures.evidence`, `figures.style`, the captions of panels, and the toy model.
"""
