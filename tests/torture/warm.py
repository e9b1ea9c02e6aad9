"""Loads what every child needs before the first one is forked, and trains their tokenizer."""

import functools

import llm.data.corpus
from llm import RunConfig
from llm.data.documents import load_documents
from tests.torture import scenes
from toymodel.kernels import sweep_kernel

train = llm.data.corpus.train_tokenizer


@functools.cache
def _once(texts, *options):
    return train(list(texts), *options)


llm.data.corpus.train_tokenizer = lambda texts, *options: _once(tuple(texts), *options)
load_documents(RunConfig(**scenes.CONFIG))
sweep_kernel()
