"""Runs as the explorer shows them: losses, the few numbers fitted to them, and what they are."""

from __future__ import annotations

import base64
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from bridge import FitResult, fit
from bridge.estimate.choice import FOUR
from llm.config import RunConfig
from llm.runs.finished import Run
from toymodel.base.errors import InputError
from toymodel.measures.losses import LossMatrix, cyclic_order

__all__ = ["ShownRun", "describe", "identifier", "load_shown", "numbers_of", "shown", "words_of"]

# The page's names of the fit's parameters.
_NAMES = {
    "unfitted_fraction": "unfitted",
    "slow_share": "slowShare",
    "variance_ratio_w": "varianceW",
    "half_point": "halfPoint",
    "slow_drift": "slowDrift",
    "unfitted_drift": "unfittedDrift",
    "shared_fraction": "sharedFraction",
}


@dataclass(frozen=True, eq=False)
class ShownRun:
    """A network beside the toy.

    Attributes:
        id: what links call it.
        name: what its reader is shown.
        group: the heading it stands under.
        losses: its loss matrix.
        numbers: the fitted numbers by the page's names, as `numbers_of` makes them; without a half point the
            link is linear, without a shared fraction all documents train all directions.
        scales: every document's own, unit of the losses, shape ``(T,)``.
        facts: a sentence or two on what it is and how well the fit describes it.
    """

    id: str
    name: str
    group: str
    losses: LossMatrix
    numbers: Mapping[str, float]
    scales: Sequence[float]
    facts: str = ""

    def to_json(self) -> dict[str, Any]:
        """As the page reads it; losses in single precision, little-endian, base64."""
        order = self.losses.order
        cyclic = np.array_equal(order, cyclic_order(self.losses.tasks, self.losses.epochs))
        return {
            "id": self.id,
            "name": self.name,
            "group": self.group,
            "facts": self.facts,
            "tasks": self.losses.tasks,
            "epochs": self.losses.epochs,
            "losses": base64.b64encode(self.losses.values.astype("<f4").tobytes()).decode("ascii"),
            "order": None if cyclic else order.ravel().tolist(),
            "fit": dict(self.numbers),
            "scales": list(self.scales),
        }


def numbers_of(found: FitResult) -> dict[str, float]:
    """What a fit found, by the page's names.

    Raises:
        InputError: for a form that has no sliders: several channels, say, or documents similar by chance; for
            a fit of several matrices, whose numbers are not all of one.
    """
    if len(found.datasets) > 1:
        raise InputError(f"a fit of {len(found.datasets)} loss matrices",
                         expected="one of a single run", fix="bridge.fit(losses) of each")  # fmt: skip
    form = found.mechanism
    # What the page moves; whatever else a form has, now or one day, it would leave out.
    movable = replace(FOUR, drift=form.drift, link=form.link, sharing=form.sharing)
    if form != movable or not form.explains:
        raise InputError(
            f"a fit of {form.name}",
            expected="a form that `bridge.fit` chooses itself",
            fix="bridge.fit(losses)",
        )
    numbers = {_NAMES[p.name]: float(p.value) for p in found.parameters}
    if form.sharing == "uniform":  # Beta(1, 1), which takes no number
        numbers["sharedFraction"] = 0.5
    return numbers


def shown(
    name: str,
    losses: LossMatrix,
    found: FitResult | None = None,
    *,
    group: str = "Your runs",
    facts: str = "",
) -> ShownRun:
    """A run at its fit; it is fitted now if `found` is not given.

    Raises:
        InputError: for a fit of other losses, or one that `numbers_of` refuses.
    """
    fitted = found or fit(losses, intervals_by="none")
    if not np.array_equal(fitted.data.values, losses.values, equal_nan=True):
        raise InputError(f"a fit of other losses than those of {name}", expected="the run's own fit",
                         fix="shown(name, losses, bridge.fit(losses))")  # fmt: skip
    scales, words = fitted.scales().tolist(), words_of(facts, fitted.r2)
    return ShownRun(identifier(name), name, group, losses, numbers_of(fitted), scales, words)


def words_of(facts: str, r2: float) -> str:
    """What is said of a run, with how well its fit describes it."""
    return f"{facts} R² of the fit {r2:.3f} over all losses.".strip()


def load_shown(paths: Iterable[str | os.PathLike[str]]) -> list[ShownRun]:
    """Runs of the reader's: run folders, .npz or .npy, each fitted now.

    Raises:
        InputError: when one cannot be read.
    """
    loaded = [(Path(path), LossMatrix.load(path)) for path in paths]
    fitting = tqdm(loaded, desc="fitting", disable=None, leave=False)
    return distinct([shown(_name(path), losses, facts=_facts(path)) for path, losses in fitting])


def named(values: Iterable[object]) -> list[ShownRun]:
    """Whatever Python has of runs: loss matrices, what holds one as ``.losses``, or paths.

    Raises:
        InputError: for anything else.
    """
    found: list[ShownRun] = []
    for number, value in enumerate(values, start=1):
        if isinstance(value, str | os.PathLike):
            found += load_shown([value])
            continue
        losses = getattr(value, "losses", value)
        if not isinstance(losses, LossMatrix):
            raise InputError(f"a {type(value).__name__} as a run", expected="a loss matrix, a run, or a path",
                             fix="explore(LossMatrix.from_values(values))")  # fmt: skip
        found.append(shown(getattr(value, "name", f"run {number}"), losses))
    return distinct(found)


def distinct(runs: Sequence[ShownRun]) -> list[ShownRun]:
    """The same runs, those of one name told apart by a number."""
    seen: Counter[str] = Counter()
    result = []
    for run in runs:
        seen[run.id] += 1
        more = f" ({seen[run.id]})" if seen[run.id] > 1 else ""
        result.append(replace(run, id=identifier(run.name + more), name=run.name + more))
    return result


def _name(path: Path) -> str:
    """Of a run folder; a file that is called as every run's losses goes by its folder's name."""
    whole = path.resolve()
    return whole.parent.name if whole.name == "losses.npz" else whole.name


def identifier(name: str) -> str:
    """A name as links can carry it."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-") or "run"


def describe(config: RunConfig) -> tuple[str, str]:
    """A run's name for a list, and a sentence on what was trained."""
    model = config.model.rstrip("/").rpartition("/")[2]
    kind = "pretrained" if config.weights == "pretrained" else "random"
    order = "" if config.schedule == "cyclic" else f", {config.schedule}"
    size = f", {config.num_documents} documents" if config.num_documents != 25 else ""
    steps = f", {config.steps} steps" if config.steps != 10 else ""
    name = (
        f"{model} ({kind}), {config.optimizer.upper() if config.optimizer == 'sgd' else 'Adam'} {config.lr:g}"
    )
    facts = (
        f"{model}, {kind} weights, {config.optimizer} at {config.lr:g}, {config.num_documents} documents "
        f"of {config.context} tokens, {config.steps} steps an episode, {config.epochs} epochs, "
        f"{config.schedule}."
    )
    return f"{name}{order}{size}{steps}", facts


def _facts(path: Path) -> str:
    return describe(Run.load(path).config)[1] if (path / "config.json").is_file() else ""
