"""Images by name before anything is trained: what a run would take, and its downloads ahead of time."""

from __future__ import annotations

from llm.config import RunConfig
from llm.vision.images import choose_images, open_images
from toymodel.base.words import arg

__all__ = ["list_images", "prefetch_images"]


def list_images(config: RunConfig) -> str:
    """The images of every task in training order, with their classes; lines of text."""
    source = open_images(config)
    each = config.batch if config.task == "classification" else 1
    rows = choose_images(source, config, config.num_documents * each)
    lines = []
    for place, row in enumerate(rows):
        kind = f"  class {source.classes[source.checked_label(row)]}" if each > 1 else ""
        lines.append(f"{place // each:>4}  {source.name(row)}{kind}")
    return "\n".join(lines)


def prefetch_images(config: RunConfig) -> dict[str, str]:
    """Download what a run needs, so that it then works without network; what is at hand, and where."""
    from llm.data.hub import fetch_model

    found: dict[str, str] = {}
    source = open_images(config)
    if source.hub:
        found["images"] = f"{source.origin['name']} at {source.origin['revision']}: {source.size} images"
    pretrained = config.weights == "pretrained"
    if config.task == "image-modelling":
        from llm.vision.modelling import SHAPES, hub_name

        name = hub_name(config)
        if name and (pretrained or config.model not in SHAPES):
            found["model"] = str(fetch_model(name, config.revision, weights=pretrained))
        return found
    from llm.vision.classifiers import on_hub

    if on_hub(config):
        found["model"] = str(fetch_model(config.model, config.revision, weights=pretrained))
    elif pretrained and config.weights_file is None:
        from llm.vision.pair import check_pair
        from llm.vision.zoo import recipe

        check_pair(arg("model", config.model))
        tensors = recipe(config).load()
        found["model"] = f"{config.model}: {sum(t.numel() for t in tensors.values()):,} weights"
    return found
