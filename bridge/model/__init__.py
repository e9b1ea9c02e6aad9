"""The extended toy model as a curve to fit: its parameters, its losses and their derivatives.

Imports `toymodel`; knows nothing of data.
"""
