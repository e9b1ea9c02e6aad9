"""From a source to token ids: files, saved and hub datasets, tokenizers, variations of a document.

Imports `llm.config`, `llm.names` and `toymodel.base`; knows nothing of networks.
"""
