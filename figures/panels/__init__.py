"""The paper's figures and the theory's, a module each over a few shared drawings.

Imports `figures.evidence` and `figures.style`.
"""
