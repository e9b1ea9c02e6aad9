"""Kills, damage, neighbours, full disks and nonsense, against what is stored: ``python -m tests.torture``.

What is promised, and the table of a whole run, stand in docs/reliability.md; the tests run a short one.
"""
