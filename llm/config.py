"""One typed, frozen configuration for every run; its fields are also the command line's flags."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from llm.fields import choices, conform
from toymodel.base.errors import InputError
from toymodel.base.words import Phrase, arg, args
from toymodel.measures.schedules import load_order, schedule

__all__ = ["RunConfig", "config_id", "varied"]


@dataclass(frozen=True)
class RunConfig:
    """What a run trains, on what, and how. Defaults are the paper's (section 2).

    Where the paper's text and its program differ, the default follows the text and the field says so.
    """

    # What a task is.
    task: Literal["language", "image-modelling", "classification"] = "language"
    """What an episode trains on: a text, an image pixel by pixel (Fig. 7a), or a batch of them (Fig. 7b)."""

    # The network.
    model: str = "embedded"
    """'embedded' (small, for the task), a Pythia size, imagegpt-small to -large, a classifier of torchvision
    such as vit_b_32 or vgg19, a hub id, a local folder, or a .gguf file."""
    weights: Literal["random", "pretrained"] = "random"
    """'random' keeps only the architecture (no download for Pythia sizes); 'pretrained' loads the weights."""
    revision: str | None = None
    """Revision of a hub model, e.g. step1000 of a Pythia size, or torchvision's, e.g. IMAGENET1K_V1."""
    weights_file: str | None = None
    """Pretrained weights of a torchvision classifier as a file: a state dict, .safetensors or .pth."""
    init: Literal["pythia", "normal"] = "pythia"
    """Random weights: Pythia's scheme, or N(0, 0.02) everywhere (Fig. 15)."""
    width: int | None = None
    """Hidden size in place of the model's own (Fig. 3a); the feed-forward size stays, as in the program."""
    depth: int | None = None
    """Number of blocks in place of the model's own (Fig. 3b)."""
    heads: int | None = None
    """Attention heads in place of the model's own (Fig. 14)."""
    feed_forward: int | None = None
    """Feed-forward size in place of the model's own."""
    vocabulary: Literal["model", "tokenizer"] = "model"
    """Embedding rows: the model's own, or cut to the tokenizer's (50277 for Pythia), as in the program."""
    freeze_blocks: int = 0
    """Keep the first B blocks fixed; a negative number keeps the last -B blocks (Fig. 5d)."""
    freeze_embeddings: bool = False
    """Keep the input embedding fixed too, as the program does when it freezes blocks."""
    classes: Literal["model", "images"] = "model"
    """Outputs of a classifier: the model's own, or a new output layer for the classes of the images."""

    # The documents: texts or images.
    documents: str = "embedded"
    """'embedded', 'cnn_dailymail', a hub dataset, a file (.jsonl, .json, .csv, .tsv, .txt with a document a
    line, also with .gz behind; .parquet), or a folder (a .txt file a document, or a saved dataset); of images
    also 'cifar10' (the text's), 'cifar100' (the program's) and 'imagenet'."""
    documents_subset: str | None = None
    """Configuration of a hub dataset, e.g. 3.0.0 of cnn_dailymail."""
    documents_revision: str | None = None
    """Revision of a hub dataset; the commit that was used is in the manifest."""
    documents_split: str = "train"
    """Split of a dataset."""
    text_field: str | None = None
    """Field that holds the text; if not given 'text' or 'article', whichever the first row has."""
    selection: Literal["auto", "seed", "order"] = "auto"
    """'seed' draws the documents, 'order' takes the first T; 'auto' draws from a corpus (embedded, hub, saved
    datasets, .parquet) and takes files of text (.jsonl, .json, .csv, .txt, a folder) in order."""
    tokenizer: str | None = None
    """A tokenizer.json file, a folder or a hub id in place of the model's own tokenizer."""
    num_documents: int = 25
    """Number of documents T: texts, images or batches of images."""
    context: int = 256
    """Tokens per document C; longer documents are cut, shorter ones padded."""
    batch: int = 32
    """Images in a batch of classification."""
    image_size: int | None = None
    """Side of an image in pixels; the model's own if not given (ImageGPT 32, classifiers mostly 224)."""
    mask_probability: float = 0.0
    """Each step hides this part of the input tokens, labels kept (Fig. 4a)."""
    mask_up_to: bool = True
    """Draw each step's part uniformly up to the probability, rather than hiding exactly so much."""
    mask_token: int = 0
    """Token id that stands for a hidden token; 0 as in the program."""
    window_shift: int = 0
    """Each step moves the window of C tokens by up to this many tokens (Fig. 4b)."""
    window: Literal["text", "program"] = "text"
    """'text' shifts forward from the start; 'program' cuts [L/4 + s, 3L/4 + s) from L = 2C tokens."""
    evaluate_summaries: bool = False
    """Also record the losses of the documents' summaries (field highlights), as the program does."""

    # The schedule.
    schedule: Literal[
        "cyclic", "shuffled-once", "middle-shuffled", "reshuffled", "iid", "locally-reversed", "palindrome",
        "spaced", "given",
    ] = "cyclic"  # fmt: skip
    """Order of episodes: the paper's, Fig. 12's shuffled middle, two controls, section 4's local reversal,
    forward and backward in turn, a third of the documents every second epoch; 'given' with --order."""
    order: str | None = None
    """A file with an order of your own, .npy or .json: documents counted from 0, shape (E, T), or (T,) for
    every epoch. Documents may be absent from an epoch or come twice. Kept as text: the run needs no file."""
    shuffle_until: int | None = None
    """Last document N that middle-shuffled shuffles, counted from 1 (Fig. 12); T - 1 if not given."""
    reverse_block: int = 2
    """Documents per reversed stretch of locally-reversed, in its last epoch."""
    steps: int = 10
    """Gradient steps per episode M."""
    epochs: int = 5
    """Passes through all documents E."""

    # The optimizer.
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    """Plain gradient descent, Adam, or AdamW (torch's defaults but for the rate)."""
    lr: float = 1e-3
    """Learning rate."""
    weight_decay: float | None = None
    """Part of the weights, times the rate, that every step takes away, beside the gradient (decoupled): with
    sgd none if not given, with adamw torch's own 0.01."""
    scale_lr: bool = False
    """Divide the rate by M/10, so that the total update stays that of 10 steps (Fig. 16a)."""
    reset_optimizer: bool = True
    """Forget Adam's moments at the start of every episode (Fig. 6)."""
    dropout: bool = False
    """Leave the model's own dropout on in training (Pythia has none)."""

    # What is measured beside the losses.
    probes: tuple[Literal["gradients", "pairwise", "residuals", "pca", "activations", "updates"], ...] = ()
    """Measurements written to probes/ (Figs. 8, 9, 17, 18)."""
    probe_documents: tuple[int, ...] = (0,)
    """Documents whose activations the probes follow, counted from 0; the paper's is the first."""
    probe_layer: str | None = None
    """Parameters or module that gradients, residuals and pca look at; each probe has the paper's default."""

    # How it runs.
    precision: Literal["ieee", "tf32", "bf16"] = "ieee"
    """Matrix products in IEEE single precision, TF32 (GPU), or under bfloat16 autocast."""
    seed: int = 0
    """Seeds the choice of documents, the initial weights, the schedule and every random variation."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """'auto' takes a GPU where there is one."""
    version: int = 1
    """Of drawing and descending. 1 makes recorded runs again, bit for bit: one stream of random numbers,
    gradients first. 2 is faster: a stream to each parameter, drawn by all cores, and plain descent changes
    matrices in the backward products; equal to 1 in distribution, and from the same weights to rounding."""

    def __post_init__(self) -> None:
        def need(good: bool, name: str, expected: str, fix: object) -> None:
            if not good:
                mended = fix if isinstance(fix, Phrase) else arg(name, fix)
                raise InputError(arg(name, getattr(self, name)), expected=expected, fix=mended)

        conform(self, but=("order",))
        self._take_order()
        need(self.num_documents >= 2, "num_documents", "at least 2 documents", 25)
        need(self.context >= 2, "context", "at least 2 tokens (one to predict from, one to predict)", 256)
        need(1 <= self.version <= 2, "version", "1 or 2", 1)
        need(self.batch >= 1, "batch", "at least 1 image", 32)
        need(self.image_size is None or self.image_size >= 2, "image_size", "at least 2 pixels", 32)
        need(self.steps >= 1, "steps", "at least 1 gradient step per episode", 10)
        need(self.epochs >= 1, "epochs", "at least 1 epoch", 5)
        need(0 < self.lr < float("inf"), "lr", "a positive, finite learning rate", 0.001)
        need(0 <= self.seed < 2**63, "seed", "an integer from 0 to 2**63 - 1", 0)
        need(0 <= self.mask_probability < 1, "mask_probability", "0 <= p < 1", 0.1)
        need(self.window_shift >= 0, "window_shift", "0 or more tokens", 16)
        need(
            self.window == "text" or 2 * self.window_shift <= self.context,
            "window_shift",
            "at most C/2 tokens either way with " + arg("window", "program"),
            self.context // 2,
        )
        need(self.mask_token >= 0, "mask_token", "a token id, 0 or more", 0)
        need(
            self.shuffle_until is None or 1 <= self.shuffle_until <= self.num_documents,
            "shuffle_until",
            f"a document from 1 to {self.num_documents}",
            self.num_documents - 1,
        )
        need(
            all(0 <= document < self.num_documents for document in self.probe_documents),
            "probe_documents",
            f"documents from 0 to {self.num_documents - 1}",
            0,
        )
        need(
            1 <= self.reverse_block <= self.num_documents,
            "reverse_block",
            f"from 1 to {self.num_documents} documents",
            2,
        )
        need(
            self.schedule != "palindrome" or self.epochs >= 2,
            "epochs",
            "at least 2 with " + arg("schedule", "palindrome") + ": forward, then backward",
            2,
        )
        need(
            self.weight_decay is None or 0 <= self.weight_decay * self.rate < 1,
            "weight_decay",
            "0 or more, and less than 1 times the rate",
            0.01,
        )
        need(
            self.weight_decay is None or self.optimizer != "adam",
            "weight_decay",
            arg("optimizer", "adamw") + " or sgd: Adam itself has no decay apart from the gradient",
            args(weight_decay=self.weight_decay, optimizer="adamw"),
        )
        for name in ("width", "depth", "heads", "feed_forward"):
            value = getattr(self, name)
            need(value is None or value >= 1, name, "a positive number", 8)
        for name, options in choices(RunConfig).items():
            value = getattr(self, name)
            for one in value if isinstance(value, tuple) else (value,):
                need(one in options, name, "one of " + ", ".join(options), options[0])
        for name, tasks in _ONLY_FOR.items():
            if self.task not in tasks and getattr(self, name) != getattr(type(self), name):
                default = getattr(type(self), name)
                mended = "leave " + arg(name) + " out" if default is None else arg(name, default)
                raise InputError(
                    arg(name, getattr(self, name)) + " with " + arg("task", self.task),
                    expected=f"a setting of {self.task}; " + arg(name) + f" is one of {' and '.join(tasks)}",
                    fix=mended + ", or " + arg("task", tasks[0]),
                )
        need(
            self.weights_file is None or self.weights == "pretrained",
            "weights",
            "pretrained weights with " + arg("weights_file"),
            "pretrained",
        )

    def _take_order(self) -> None:
        """An order given as a file or as numbers, checked and kept as JSON text."""
        if self.order is None:
            if self.schedule == "given":
                raise InputError(
                    arg("schedule", "given") + " without an order",
                    expected=arg("order") + " with a file",
                    fix=arg("order", "order.npy"),
                )
            return
        if self.schedule not in ("cyclic", "given"):
            raise InputError(
                arg("order") + " with " + arg("schedule", self.schedule),
                expected="one of the two",
                fix="leave out " + arg("schedule", self.schedule),
            )
        given: Any = self.order
        if isinstance(given, str):
            text = given.lstrip().startswith("[")
            try:
                given = json.loads(given) if text else load_order(given)
            except (ValueError, RecursionError) as error:
                if not text:
                    raise
                raise InputError(
                    arg("order") + f" {given[:40]!r}...: {error}",
                    expected="a file, or lists as in JSON",
                    fix=arg("order", "order.json"),
                ) from error
        shape = np.shape(given)
        if len(shape) == 2 and shape != (self.epochs, self.num_documents):
            raise InputError(
                arg("order") + f" of shape {shape}",
                expected=f"({self.epochs}, {self.num_documents}): epochs, episodes to the epoch",
                fix=args(epochs=shape[0], num_documents=shape[1]),
            )
        order = schedule(given, self.num_documents, self.epochs)
        object.__setattr__(self, "order", json.dumps(order.tolist(), separators=(",", ":")))
        object.__setattr__(self, "schedule", "given")

    def to_json(self) -> dict[str, Any]:
        """A plain mapping, as written to ``config.json``."""
        return dataclasses.asdict(self) | {
            "probes": list(self.probes),
            "probe_documents": list(self.probe_documents),
        }

    @property
    def rate(self) -> float:
        """The learning rate in force: `lr`, scaled if `scale_lr`."""
        return self.lr * 10 / self.steps if self.scale_lr else self.lr

    @property
    def id(self) -> str:
        """Hash of the configuration, 12 hexadecimal digits: equal for equal runs, on every machine."""
        return config_id(self.to_json())

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> RunConfig:
        """Rebuild from ``config.json``; fields this version does not know are refused by name."""
        known = {f.name for f in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise InputError(
                f"unknown field(s) {', '.join(map(repr, unknown))}",
                expected="fields of this version: " + ", ".join(sorted(known)),
                fix="open the run with the version that its manifest.json names",
            )
        return cls(**(_LATER | dict(values)))

    def differences(self, other: RunConfig) -> list[str]:
        """Fields in which two configurations differ, as ``name: mine against theirs``."""
        mine, theirs = self.to_json(), other.to_json()
        return [
            f"{k}: {json.dumps(mine[k])[:60]} against {json.dumps(theirs[k])[:60]}"
            for k in mine
            if mine[k] != theirs[k]
        ]


def config_id(values: Mapping[str, Any]) -> str:
    """`RunConfig.id` of a configuration as ``config.json`` has it, written by any version."""
    # A field that came later doesn't rename the runs from before it.
    named = {k: v for k, v in values.items() if k not in _LATER or v != _LATER[k]}
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:12]


# Fields that came after runs had been recorded, and what their absence means.
_LATER: dict[str, Any] = {"order": None, "weight_decay": None, "version": 1}

_TOKENS = ("language", "image-modelling")
# Settings that say nothing about the other kinds of task; a value that would be ignored is refused.
_ONLY_FOR: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("vocabulary", "text_field", "tokenizer", "context", "window_shift", "window", "evaluate_summaries"),
        ("language",),
    ),
    **dict.fromkeys(
        ("init", "freeze_blocks", "freeze_embeddings", "mask_probability", "mask_up_to", "mask_token"),
        _TOKENS,
    ),
    **dict.fromkeys(("weights_file", "classes", "batch"), ("classification",)),
    "image_size": ("image-modelling", "classification"),
}


def varied(configs: Sequence[RunConfig]) -> list[str]:
    """Names of the fields in which the configurations differ, in the order of the fields."""
    first = configs[0].to_json()
    others = [config.to_json() for config in configs[1:]]
    return [name for name, value in first.items() if any(other[name] != value for other in others)]
