"""Documents as tasks: causal language modelling, one document to a gradient step."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from llm.config import RunConfig
from llm.data.augmentation import IGNORED, seed_dropout, vary
from llm.networks.precision import autocast

if TYPE_CHECKING:
    import torch

    from llm.data.documents import Documents

__all__ = ["LanguageAdapter", "language_adapter"]

# Evaluation takes as many documents at once as keep its largest tensors below this, and the output layer as
# many positions: on a CPU few enough for the caches, on a GPU enough to fill it.
_BUDGET = {"cpu": 64 << 20, "cuda": 1 << 30}


def language_adapter(config: RunConfig, device: torch.device) -> LanguageAdapter:
    """Read the documents, build the model that fits them, and put both on the device."""
    from llm.data.documents import load_documents
    from llm.networks.models import build_model
    from llm.networks.weights import weight_hash_later

    documents = load_documents(config)
    model = build_model(config, documents.vocabulary)
    digest = weight_hash_later(model, config.version, device)
    return LanguageAdapter(config, model.to(device), documents, device, digest)


class LanguageAdapter:
    """T documents and a causal language model.

    Training is one static shape ``(1, C)`` padded at the right: causal attention never looks there and the
    labels do not count there, so it needs no mask and gives the unpadded loss.

    Args:
        config: `context`, the random variations, `dropout`, `precision` and `seed` are used.
        model: a causal language model, on the device.
        documents: the documents.
        device: where buffers live.
        weights_sha256: gives the hash of the initial weights; found when it is asked for if None.
    """

    def __init__(
        self,
        config: RunConfig,
        model: Any,
        documents: Documents,
        device: torch.device,
        weights_sha256: Callable[[], str] | None = None,
    ) -> None:
        import torch

        from llm.networks.models import split_head, without_gradients
        from llm.networks.weights import weight_hash

        self.model = model
        self.weights_sha256 = weights_sha256 or functools.partial(weight_hash, model, config.version)
        self.tasks = len(documents.names)
        self.data: Mapping[str, Any] = documents.manifest()
        self.extra: Mapping[str, Callable[[], torch.Tensor]] = {}
        self._config = config
        self.documents = documents
        self._body, self._head = split_head(model)
        self._plain_body = without_gradients(model, config) or self._body
        self._device = device
        self._varies = bool(config.mask_probability or config.window_shift)
        self._evaluated = _Evaluated.of(documents.tokens, documents.labels, device)
        self.inputs = torch.zeros((1, config.context), dtype=torch.int64, device=device)
        # The last position predicts nothing; it is computed all the same, because products of C rows are
        # faster than those of C - 1.
        self.targets = torch.full((config.context,), IGNORED, dtype=torch.int64, device=device)
        if documents.summaries is not None:
            summaries = _Evaluated.of(documents.summaries, documents.summary_labels, device)
            self.extra = {"summaries": lambda: self._losses_of(summaries)}
        model.train(config.dropout)

    def load(self, task: int, episode: int | None = None, step: int = 0) -> None:
        """Put one document into the buffers, masked and shifted for this step of an episode."""
        import torch

        if self._varies and episode is not None:
            tokens, labels = vary(
                self.documents.stored[task], self.documents.lengths[task], self._config, episode, step
            )
            for buffer, values in ((self.inputs, tokens), (self.targets[:-1], labels[1:])):
                found = torch.from_numpy(values)
                if buffer.is_cuda:  # from page-locked memory the host need not wait for the steps before
                    found = found.pin_memory()
                buffer.copy_(found, non_blocking=buffer.is_cuda)
        else:
            self.inputs.copy_(self._evaluated.tokens[task])
            self.targets[:-1].copy_(self._evaluated.labels[task, 1:])
        if self._config.dropout and episode is not None:
            seed_dropout(self._config.seed, episode, step)

    def loss(self) -> torch.Tensor:
        """Mean cross entropy of the next token in nats."""
        from llm.networks.fast.loss import mean_cross_entropy

        with autocast(self._config, self._device):
            logits = self._head(self._body(self.inputs)[0])
        return mean_cross_entropy(logits.float(), self.targets, self.counted())

    def counted(self) -> torch.Tensor:
        """Which of the C positions of the buffers predict a token that counts in the loss, bool."""
        return self.targets != IGNORED

    def losses(self) -> torch.Tensor:
        """Mean cross entropy of every document in nats, float32, shape ``(T,)``."""
        return self._losses_of(self._evaluated)

    def _losses_of(self, data: _Evaluated) -> torch.Tensor:
        import torch

        from llm.networks.fast.loss import token_losses

        if self._config.dropout:
            self.model.eval()
        architecture = self.model.config
        budget = _BUDGET[self._device.type] // 4
        wide = max(4 * architecture.hidden_size, getattr(architecture, "intermediate_size", None) or 0)
        documents = max(1, budget // (data.tokens.shape[1] * wide))
        positions = max(1, budget // architecture.vocab_size // 64) * 64
        # One piece of memory for all logits: to get so much anew every time costs as much as using it.
        shape = min(positions, data.tokens.numel()), architecture.vocab_size
        room = torch.empty(shape, device=self._device)
        found = torch.zeros((len(data.tokens), data.tokens.shape[1]), device=self._device)
        with torch.inference_mode(), autocast(self._config, self._device):
            for first in range(0, len(data.tokens), documents):
                hidden = self._plain_body(data.tokens[first : first + documents]).flatten(0, 1)
                places, flat = data.places(first, documents), found[first : first + documents].view(-1)
                targets = data.labels[first : first + documents].flatten()
                for some in places.split(positions):
                    flat[some] = token_losses(self._logits(hidden[some - 1], room), targets[some])
        if self._config.dropout:
            self.model.train()
        return found.sum(1) / data.counts

    def _logits(self, hidden: torch.Tensor, room: torch.Tensor) -> torch.Tensor:
        """Logits of some hidden states in float32, in the given memory where that can be said."""
        import torch

        head = self._head
        if isinstance(head, torch.nn.Linear) and head.bias is None and self._config.precision != "bf16":
            return torch.mm(hidden, head.weight.t(), out=room[: len(hidden)])
        return head(hidden).float()


@dataclass(frozen=True)
class _Evaluated:
    """Documents as they are evaluated, on the device; padded positions are left out of the output layer."""

    tokens: torch.Tensor
    labels: torch.Tensor
    counts: torch.Tensor
    _places: list[torch.Tensor]
    _joined: dict[tuple[int, int], torch.Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, tokens: Any, labels: Any, device: torch.device) -> _Evaluated:
        import torch

        # Positions that are predicted, known here so that no evaluation has to ask the device for them.
        places = [torch.from_numpy(1 + np.flatnonzero(row[1:] != IGNORED)).to(device) for row in labels]
        counts = torch.tensor([len(row) for row in places], dtype=torch.float32, device=device)
        return cls(torch.from_numpy(tokens).to(device), torch.from_numpy(labels).to(device), counts, places)

    def places(self, first: int, documents: int) -> torch.Tensor:
        """Predicted positions of some documents, in those documents' flattened labels; found once."""
        import torch

        if (first, documents) not in self._joined:
            width = self.tokens.shape[1]
            some = self._places[first : first + documents]
            with torch.inference_mode(False):
                joined = torch.cat([row + index * width for index, row in enumerate(some)])
            self._joined[first, documents] = joined
        return self._joined[first, documents]
