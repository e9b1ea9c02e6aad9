"""What is known without simulating: ring, spectrum, asymptotics, trajectories (docs/theory.md).

Imports `toymodel.base`, `toymodel.measures` and the moments; nothing here runs an experiment.
"""
