"""Loss matrices and what is measured on them; schedules of training.

Imports `toymodel.base` and numpy alone, so that networks take the same functions.
"""
