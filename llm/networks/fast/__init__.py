"""Faster forms of the same arithmetic: GPT-NeoX, Llama and GPT-2 without wrapping, descent in the products.

Imports `llm.config`, and of `llm.networks` precision and what a step needs of a model.
"""
