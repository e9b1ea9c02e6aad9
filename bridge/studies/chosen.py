"""Does the toy's choice of an order help a network? The orders it chooses, and the runs trained in them.

The second set of docs/predictions.md: documents' similarity before training, the best and the worst fixed
order that the toy finds with it for the loss at the end, and the embedded network trained in both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llm.config import RunConfig
from llm.presets import member
from toymodel import choose_order, order_values
from toymodel.base.errors import InputError
from toymodel.base.json_file import read_json, write_json

__all__ = ["FOLDER", "KINDS", "Chosen", "choose", "load_chosen", "network", "save_chosen"]

FOLDER, _FILE = "chosen", "choices.json"
KINDS = ("best", "worst")
# Of the toy, as docs/predictions.md has them; similarities are rounded as they are stored.
_SLOW, _FAST, _DIGITS = 0.15, 0.85, 6


@dataclass(frozen=True)
class Chosen:
    """What the toy chose for one seed, from similarities alone.

    Attributes:
        seed: of documents and initial weights.
        cosines: of the documents' gradients over all weights before training, shape ``(T, T)``.
        orders: the best and the worst fixed order found, by `KINDS`.
        expected: the toy's loss at the end in each, per unit of a q's variance.
        random_mean: the same of random orders, the mean.
        random_deviation: standard deviation over these.
    """

    seed: int
    cosines: Sequence[Sequence[float]]
    orders: Mapping[str, Sequence[int]]
    expected: Mapping[str, float]
    random_mean: float
    random_deviation: float

    def config(self, kind: str) -> RunConfig:
        """The run that trains in the best or the worst order."""
        return replace(network(self.seed), order=json.dumps(list(self.orders[kind])))

    def values(self, orders: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """The toy's expected loss at the end in any orders, permutations of the documents."""
        return order_values(orders, self.cosines, _SLOW, _FAST, _episodes(self.seed))


def network(seed: int) -> RunConfig:
    """The network that is trained, in the order in which its documents come."""
    return replace(member("orders-embedded", "cyclic").config, seed=seed, probes=())


def _episodes(seed: int) -> int:
    config = network(seed)
    return config.epochs * config.num_documents


def choose(seed: int) -> Chosen:
    """Measure similarities before training and choose; some 20 s, nothing is trained."""
    from llm.training.before_training import initial_similarity

    cosines = np.round(initial_similarity(network(seed))["cosines"], _DIGITS)
    found = {
        kind: choose_order(cosines, _SLOW, _FAST, _episodes(seed), worst=kind == "worst") for kind in KINDS
    }
    return Chosen(
        seed,
        cosines.tolist(),
        {kind: choice.order.tolist() for kind, choice in found.items()},
        {kind: choice.value for kind, choice in found.items()},
        found["best"].random_mean,
        found["best"].random_deviation,
    )


def save_chosen(folder: Path, chosen: Sequence[Chosen]) -> None:
    """Write all choices as one file into a folder."""
    write_json(folder / _FILE, {"choices": [asdict(one) for one in chosen]})


def load_chosen(folder: Path) -> list[Chosen]:
    """The choices in a folder; none where it has none.

    Raises:
        InputError: for a file that is damaged.
    """
    if not (folder / _FILE).is_file():
        return []
    fix = f"git checkout -- {folder / _FILE}, or remove it and choose again: reawaken record --orders"
    stored: Any = read_json(folder / _FILE, fix=fix)
    try:
        return [Chosen(**one) for one in stored["choices"]]
    except (KeyError, TypeError) as error:
        raise InputError(f"{str(folder / _FILE)!r} holds no choices ({error})",
                         expected="what reawaken record --orders writes", fix=fix) from error  # fmt: skip
