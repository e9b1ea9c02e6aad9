"""Downloads ahead of time: all that a run would fetch, so that it then works without network."""

from __future__ import annotations

from llm.config import RunConfig
from llm.data.hub import fetch_model
from llm.data.sources import open_source
from llm.data.tokenization import choose_tokenizer
from llm.names import SHAPES, hub_id

__all__ = ["prefetch"]


def prefetch(config: RunConfig) -> dict[str, str]:
    """Download what a run needs, so that it then works without network.

    Returns:
        What is now at hand and where; empty where the run needs no download.

    Raises:
        InputError: for what no run could read, or the hub cannot give.
    """
    if config.task != "language":
        from llm.vision.listing import prefetch_images

        return prefetch_images(config)
    found = {}
    if config.model not in SHAPES and hub_id(config.model) is None:
        from llm.networks.architecture import read_architecture

        read_architecture(config)  # a name that is none needs no download either, and no run takes it
    source = open_source(config)
    if source.hub:
        found["documents"] = f"{source.origin['name']} at {source.origin['revision']}: {source.size} rows"
    weights = config.weights == "pretrained"
    if (name := hub_id(config.model)) and (weights or source.hub or name == config.model):
        found["model"] = str(fetch_model(name, config.revision, weights=weights))
    if config.tokenizer or found:
        found["tokenizer"] = choose_tokenizer(config, source).origin
    return found
