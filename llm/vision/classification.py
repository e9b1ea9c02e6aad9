"""Classification: a task is a batch of images with their classes (paper section 3.4, Fig. 7b)."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llm.config import RunConfig
from llm.data.augmentation import seed_dropout
from llm.networks.precision import autocast
from llm.vision.classifiers import Classifier, build_classifier, logits, targets
from llm.vision.images import choose_images, open_images
from llm.vision.source import ImageSource

if TYPE_CHECKING:
    import torch

__all__ = ["Batches", "ClassificationAdapter", "classification_adapter", "load_batches"]

# Evaluation takes as many images at once as have this many bytes of input, and no fewer than a gradient step:
# on a CPU few enough for the activations of small images to stay in the caches, on a GPU enough to fill it.
_BUDGET = {"cpu": 2 << 20, "cuda": 256 << 20}


@dataclass(frozen=True)
class Batches:
    """T batches of B images, as the network is fed.

    Attributes:
        pixels: float32, shape ``(T, B, 3, side, side)``.
        labels: output that each is trained towards, int64, shape ``(T, B)``.
        origin: source, rows and how classes were matched to outputs, as the manifest records them.
    """

    pixels: NDArray[np.float32]
    labels: NDArray[np.int64]
    origin: dict[str, Any]

    def manifest(self) -> dict[str, Any]:
        """What the manifest says of them."""
        names = [f"batch {number}" for number in range(1, 1 + len(self.labels))]
        digest = hashlib.sha256(self.pixels.tobytes() + self.labels.tobytes()).hexdigest()
        return {"names": names, "sha256": digest} | self.origin


def classification_adapter(config: RunConfig, device: torch.device) -> ClassificationAdapter:
    """Build the classifier, read the images that it needs, and put both on the device."""
    source = open_images(config)
    rows = choose_images(source, config, config.num_documents * config.batch)
    source.checked_label(rows[0])
    classifier = build_classifier(config, source.classes)
    batches = load_batches(source, rows, classifier, config)
    return ClassificationAdapter(config, classifier.model.to(device), batches, device)


def load_batches(source: ImageSource, rows: list[int], classifier: Classifier, config: RunConfig) -> Batches:
    """Read and transform the images of all batches.

    Raises:
        InputError: for an image that cannot be read, or a label that is no class.
    """
    output, matched = targets(source.classes, classifier, config)
    labels = [output[source.checked_label(row)] for row in rows]
    first = classifier.transform(source.rgb(rows[0])).numpy()
    pixels = np.empty((len(rows), *first.shape), dtype=np.float32)
    for index, row in enumerate(rows):
        pixels[index] = classifier.transform(source.rgb(row)).numpy()
    shape = config.num_documents, config.batch
    return Batches(
        pixels=pixels.reshape(*shape, *first.shape),
        labels=np.array(labels, dtype=np.int64).reshape(shape),
        origin={
            "source": dict(source.origin), "classes": len(source.classes), "classes_to_outputs": matched,
            "rows": np.reshape(rows, shape).tolist(), "transform": str(classifier.transform),
        },
    )  # fmt: skip


class ClassificationAdapter:
    """T batches of images and a classifier.

    A gradient step is on a whole batch. Losses are means over a batch of the images' own losses, in
    evaluation mode: nothing is dropped, and batch normalisation uses its running statistics and leaves them
    as they are. In training it always uses the batch's, and everything else random is off unless `dropout`.

    Args:
        config: `dropout`, `precision` and `seed` are used.
        model: a classifier, on the device.
        batches: the images.
        device: where buffers live.
    """

    def __init__(self, config: RunConfig, model: Any, batches: Batches, device: torch.device) -> None:
        import torch

        from llm.networks.weights import weight_hash

        self.model = model
        self.weights_sha256: Callable[[], str] = functools.partial(weight_hash, model, config.version)
        self.tasks = len(batches.labels)
        self.data: Mapping[str, Any] = batches.manifest()
        self.extra: Mapping[str, Callable[[], torch.Tensor]] = {}
        self._config = config
        self._device = device
        self.images = torch.from_numpy(batches.pixels).to(device)
        self.labels = torch.from_numpy(batches.labels).to(device)
        self.inputs = torch.empty_like(self.images[0])
        self.targets = torch.empty_like(self.labels[0])
        self._train()

    def load(self, task: int, episode: int | None = None, step: int = 0) -> None:
        """Put one batch into the buffers; `episode` and `step` seed what dropout drops."""
        self.inputs.copy_(self.images[task])
        self.targets.copy_(self.labels[task])
        if self._config.dropout and episode is not None:
            seed_dropout(self._config.seed, episode, step)

    def loss(self) -> torch.Tensor:
        """Mean cross entropy of the batch in nats."""
        import torch

        with autocast(self._config, self._device):
            found = logits(self.model, self.inputs)
        return torch.nn.functional.cross_entropy(found, self.targets)

    def counted(self) -> torch.Tensor:
        """Every image of the batch counts in the loss, bool, shape ``(B,)``."""
        import torch

        return torch.ones_like(self.targets, dtype=torch.bool)

    def losses(self) -> torch.Tensor:
        """Mean cross entropy of every batch in nats, float32, shape ``(T,)``."""
        import torch

        at_once = max(len(self.labels[0]), _BUDGET[self._device.type] // (4 * self.inputs[0].numel()))
        images, labels = self.images.flatten(0, 1), self.labels.flatten()
        self.model.eval()
        with torch.inference_mode(), autocast(self._config, self._device):
            found = torch.cat([logits(self.model, some) for some in images.split(at_once)])
            each = torch.nn.functional.cross_entropy(found, labels, reduction="none")
        self._train()
        return each.view(self.labels.shape).mean(1)

    def _train(self) -> None:
        """The mode of gradient steps."""
        import torch

        self.model.train(self._config.dropout)
        if not self._config.dropout:
            for module in self.model.modules():
                if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                    module.train()
