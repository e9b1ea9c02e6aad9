"""A finished fit as text, JSON, picture and page.

Imports the other rooms of `bridge`; nothing of them imports this one.
"""
