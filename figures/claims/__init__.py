"""The paper's statements, decided by data: what they measure, where, and with which verdict.

Imports `figures.evidence` and what panels compute.
"""
