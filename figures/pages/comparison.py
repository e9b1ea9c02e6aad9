"""Network and toy model side by side: the data of a comparison, as one value."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bridge import Parameter
from toymodel.base.errors import InputError
from toymodel.base.words import arg
from toymodel.measures.losses import LossMatrix
from toymodel.measures.recovery import RecoveryScore, recovery_scores

__all__ = ["Comparison", "RecoveryRow", "recovery_table"]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Everything that the picture and the report of one comparison show.

    Attributes:
        networks: loss matrices of the network, one per seed, all of one shape and order.
        toy: loss matrix of the toy model fitted to all epochs.
        r2: share of the network's variance that `toy` accounts for, all entries.
        toy_noisy: recovery scores of the toy with the documents' own departures in it, per epoch. A score
            takes the largest loss of an interval, which they raise: the network's compares with these.
        held_out: full-size prediction of a fit to the first `fitted_epochs` epochs only, or None.
        fitted_epochs: number of epochs behind `held_out`, from 1 to E - 1.
        held_out_r2: R^2 of `held_out` over the entries after those epochs.
        held_out_r2_alone: the same without what is carried on of the fit's residuals, where something is.
        held_out_reason: why there is no `held_out`, in words.
        parameters: those fitted.
        nulls: name to R^2 over the same held-out entries; None where a null cannot be computed.
        facts: identity of the run (model, documents, optimizer, seed, versions, ...), in display order.

    Raises:
        InputError: for no network, matrices that differ in shape or order, or epochs that do not fit.
    """

    networks: Sequence[LossMatrix]
    toy: LossMatrix
    r2: float
    toy_noisy: Sequence[RecoveryScore] = ()
    held_out: LossMatrix | None = None
    fitted_epochs: int | None = None
    held_out_r2: float | None = None
    held_out_r2_alone: float | None = None
    held_out_reason: str = ""
    parameters: Sequence[Parameter] = ()
    nulls: Mapping[str, float | None] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.networks:
            raise InputError(
                "a comparison without a network",
                expected="the loss matrix of at least one seed",
                fix="pass networks=[LossMatrix.load(run)]",
            )
        first = self.networks[0]
        named = [(f"network {i + 1}", matrix) for i, matrix in enumerate(self.networks)]
        named.append(("the toy model", self.toy))
        if self.held_out is not None:
            named.append(("the held-out prediction", self.held_out))
            if self.fitted_epochs is None or not 1 <= self.fitted_epochs < first.epochs:
                raise InputError(
                    f"a held-out prediction with fitted_epochs = {self.fitted_epochs}",
                    expected=f"a number from 1 to {first.epochs - 1} for a run of {first.epochs} epochs",
                    fix="pass the number of epochs that the fit has seen, or " + arg("held_out", None),
                )
        for name, matrix in named:
            # Averages over seeds and differences from the toy pair entries, which must mean the same thing.
            if not np.array_equal(matrix.order, first.order):
                raise InputError(
                    f"{name} has {matrix.tasks} documents, {matrix.epochs} epochs and its own order",
                    expected=f"the order of network 1 ({first.tasks} documents, {first.epochs} epochs)",
                    fix="compare runs of one schedule only",
                )
        if self.toy_noisy and len(self.toy_noisy) != len(recovery_scores(self.toy)):
            raise InputError(
                f"{len(self.toy_noisy)} recovery scores of the toy with noise",
                expected=f"one per epoch that has a score: {len(recovery_scores(self.toy))}",
                fix="pass toy_noisy=() or one score per epoch",
            )
        object.__setattr__(self, "networks", tuple(self.networks))

    @property
    def network(self) -> LossMatrix:
        """Mean of the network's loss matrices over seeds."""
        return LossMatrix.mean(self.networks)

    @property
    def seeds(self) -> int:
        """Number of network runs."""
        return len(self.networks)


@dataclass(frozen=True)
class RecoveryRow:
    """Recovery of one epoch.

    Attributes:
        epoch: n of paper eq. 1, from 1.
        network: mean over the seeds that have a score; NaN where none has.
        deviation: standard deviation over those seeds (ddof 1); None with fewer than two.
        seeds: number of seeds that have a score.
        network_reason: why the other seeds have none; empty where all have one.
        toy: the toy model's score.
        toy_noisy: the same with the documents' own departures; None where it is not known.
    """

    epoch: int
    network: float
    deviation: float | None
    seeds: int
    network_reason: str
    toy: RecoveryScore
    toy_noisy: RecoveryScore | None = None


def recovery_table(comparison: Comparison) -> list[RecoveryRow]:
    """Recovery scores of network and toy per epoch: scored per seed, then averaged over seeds."""
    per_seed = [recovery_scores(matrix) for matrix in comparison.networks]
    rows = []
    for index, toy in enumerate(recovery_scores(comparison.toy)):
        scores = [seed[index] for seed in per_seed]
        values = [score.value for score in scores if score]
        reasons = dict.fromkeys(score.reason for score in scores if not score)
        rows.append(
            RecoveryRow(
                epoch=index + 1,
                network=float(np.mean(values)) if values else math.nan,
                deviation=float(np.std(values, ddof=1)) if len(values) > 1 else None,
                seeds=len(values),
                network_reason="; ".join(reasons),
                toy=toy,
                toy_noisy=comparison.toy_noisy[index] if comparison.toy_noisy else None,
            )
        )
    return rows
