"""Whole pages: the comparison of network and toy, its report, and the gallery.

Imports all of `figures`.
"""
