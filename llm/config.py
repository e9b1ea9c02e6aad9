"""One typed, frozen configuration for every run; its fields are also the command line's flags."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from toymodel.errors import InputError

__all__ = ["RunConfig"]


@dataclass(frozen=True)
class RunConfig:
    """What a run trains, on what, and how. Defaults are the paper's (section 2)."""

    model: str = "embedded"
    """'embedded' (6 layers, width 192), a Pythia size such as pythia-14m, or a local checkpoint folder."""
    weights: Literal["random", "pretrained"] = "random"
    """'random' keeps only the architecture; 'pretrained' loads the weights of a local checkpoint folder."""
    documents: str = "embedded"
    """'embedded' (the Python manual), a .jsonl file (field text or article), or a folder of .txt files."""
    num_documents: int = 25
    """Number of documents T."""
    context: int = 256
    """Tokens per document C; longer documents are cut, shorter ones padded."""
    steps: int = 10
    """Gradient steps per episode M."""
    epochs: int = 5
    """Passes through all documents E."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """Plain gradient descent, or Adam."""
    lr: float = 1e-3
    """Learning rate."""
    reset_optimizer: bool = True
    """Forget Adam's moments at the start of every episode, as the paper does for its Fig. 6."""
    seed: int = 0
    """Seeds the choice and order of documents and the initial weights."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """'auto' takes a GPU where there is one."""

    def __post_init__(self) -> None:
        def need(good: bool, name: str, expected: str, fix: str) -> None:
            if not good:
                flag = "--" + name.replace("_", "-")
                raise InputError(f"{flag} {getattr(self, name)}", expected=expected, fix=f"{flag} {fix}")

        need(self.num_documents >= 2, "num_documents", "at least 2 documents", "25")
        need(self.context >= 2, "context", "at least 2 tokens (one to predict from, one to predict)", "256")
        need(self.steps >= 1, "steps", "at least 1 gradient step per episode", "10")
        need(self.epochs >= 1, "epochs", "at least 1 epoch", "5")
        need(0 < self.lr < float("inf"), "lr", "a positive, finite learning rate", "0.001")
        need(0 <= self.seed < 2**63, "seed", "an integer from 0 to 2**63 - 1", "0")
        for name, choices in _CHOICES.items():
            need(getattr(self, name) in choices, name, "one of " + ", ".join(choices), choices[0])

    def to_json(self) -> dict[str, Any]:
        """A plain mapping, as written to ``config.json``."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> RunConfig:
        """Rebuild from ``config.json``; fields this version does not know are refused by name."""
        known = {f.name for f in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise InputError(
                f"config.json has the field(s) {', '.join(unknown)}",
                expected="fields of this version: " + ", ".join(sorted(known)),
                fix="open the run with the version that its manifest.json names",
            )
        return cls(**values)

    def differences(self, other: RunConfig) -> list[str]:
        """Fields in which two configurations differ, as ``name: mine against theirs``."""
        mine, theirs = self.to_json(), other.to_json()
        return [
            f"{k}: {json.dumps(mine[k])} against {json.dumps(theirs[k])}"
            for k in mine
            if mine[k] != theirs[k]
        ]


_CHOICES: dict[str, tuple[str, ...]] = {
    "optimizer": ("sgd", "adam"),
    "weights": ("random", "pretrained"),
    "device": ("auto", "cpu", "cuda"),
}
