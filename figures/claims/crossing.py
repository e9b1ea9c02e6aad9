"""Where a fixed order stops paying: found in runs of both orders, and named from two epochs of the fixed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

import bridge
from bridge.estimate.choice import FAMILY
from bridge.estimate.family import weighed
from llm.runs.finished import Run
from toymodel import crossing_epoch, cyclic_order, online_crossing, online_loss, schedule
from toymodel.measures.losses import LossMatrix

__all__ = ["found_crossing", "kept_crossing", "named_crossing", "over_found"]

ByOrder = Mapping[str, Mapping[int, Run]]
# Epochs that are fitted; epochs that are looked through; reshuffled orders of which the mean is taken.
_SEEN, _LONGEST, _DRAWS = 2, 48, 8


def found_crossing(found: ByOrder) -> dict[int, float]:
    """Epoch in which the cyclic order's online loss comes to exceed the reshuffled one's, by seed.

    Infinite where it does not within the run.
    """
    both = {seed: run for seed, run in found["cyclic, long"].items() if seed in found["reshuffled, long"]}
    return {
        seed: _or_never(online_crossing(
            online_loss(run.losses), online_loss(found["reshuffled, long"][seed].losses)
        ))
        for seed, run in both.items()
    }  # fmt: skip


def named_crossing(losses: LossMatrix) -> float:
    """The same by the toy fitted to the first two epochs of a cyclic run, infinite if not within 48.

    Of the fit's predicted losses in both orders, those of the reshuffled one averaged over eight draws.
    """
    result = _fitted(losses)
    fixed = result.predict(order=cyclic_order(losses.tasks, _LONGEST))
    drawn = [
        result.predict(order=schedule("reshuffled", losses.tasks, _LONGEST, seed)) for seed in range(_DRAWS)
    ]
    mean = np.mean([online_loss(one) for one in drawn], axis=0)
    return _or_never(online_crossing(online_loss(fixed), mean))


def kept_crossing(losses: LossMatrix) -> float:
    """Another reading: the theory's epoch for the shares that the same fit has in the second epoch, kept.

    In a form whose slow share falls the network would, carried on, hardly learn and never cross.
    """
    result = _fitted(losses)
    ((slow, fast),) = result.shares(_SEEN - 1)
    (variance,) = (p.value for p in result.parameters if p.name == "variance_ratio_w")
    return _or_never(crossing_epoch(slow, fast, losses.tasks, variance_w=variance))


def _fitted(losses: LossMatrix) -> bridge.FitResult:
    """The likeliest form of those in which all documents train all directions.

    The family of the predictions: what was named is not named anew whenever `bridge.fit` learns another form.
    """
    known = losses.first_epochs(_SEEN)
    plain = {name: form for name, form in FAMILY.items() if form.sharing == "all"}
    found = {name: bridge.fit(known, form, intervals_by="none") for name, form in plain.items()}
    curves = {name: one.curves for name, one in found.items() if one.curves is not None}
    return found[max(weighed(curves), key=lambda member: member.weight).name]


def over_found(name: Callable[[LossMatrix], float]) -> Callable[[ByOrder], dict[int, float]]:
    """What the toy names over what is found, by seed; 1 where neither crosses within the run."""

    def ratios(found: ByOrder) -> dict[int, float]:
        measured = {}
        for seed, epoch in found_crossing(found).items():
            losses = found["cyclic, long"][seed].losses
            named = name(losses)
            # Beyond the run there is nothing to be found, and naming it is right.
            end = losses.epochs if math.isinf(epoch) else epoch
            measured[seed] = 1.0 if math.isinf(epoch) and named > end else named / end
        return measured

    return ratios


def _or_never(epoch: float | None) -> float:
    return math.inf if epoch is None else epoch
