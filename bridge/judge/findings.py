"""What a fit found: one value, computed once, that text, JSON, page and picture read alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from bridge.estimate.checks import misplaced_epochs, trained_place
from bridge.estimate.result import FitResult
from bridge.judge.ahead import EpochsAhead
from bridge.judge.curves import LagCurves, lag_curves, r_squared_of_curves
from bridge.judge.forecast import Forecast
from bridge.judge.goodness import Candidate, noisy_recovery
from bridge.judge.identity import IRRELEVANT
from bridge.judge.implications import Implication, implications, next_epoch
from bridge.judge.predictions import Prediction
from bridge.judge.prior_predictive import Feature, prior_predictive_check
from toymodel import InputError, LossMatrix, RecoveryScore, recovery_scores

__all__ = ["Findings", "Recovery", "find"]

# Of all recorded runs the place is below .13; by chance, in another order, it is about .5.
_NOT_TRAINED = 0.35
# A fit that explains less than this part of all losses is told.
_LITTLE = 0.5
# Recovery scores are told as missed from here on.
_SCORE_OFF = 0.1


@dataclass(frozen=True)
class Recovery:
    """Recovery of one epoch.

    Attributes:
        epoch: n of paper eq. 1, from 1.
        network: the run's score.
        toy: that of the fitted expectation.
        toy_with_noise: the same with the documents' own departures in it: a score takes the largest loss of
            an interval, which they raise, so this is the one to compare the network's with.
    """

    epoch: int
    network: RecoveryScore
    toy: RecoveryScore
    toy_with_noise: RecoveryScore


@dataclass(frozen=True, eq=False)
class Findings:
    """Everything that a report of a fit says.

    Attributes:
        fit: the fit.
        reason: why this form of the mechanism.
        curves: mean losses by visit and lag of the (first) run.
        toy_curves: those of the fit.
        recovery: scores by epoch, network and toy.
        ahead: held-out epochs, predicted from a fit to the others; None where that was not asked for.
        implications: what follows from the shares of each channel, by theory.
        next_epoch: recovery score of one epoch more.
        prior_predictive: features of the data beside what the priors produce.
        failures: where the mechanism fails on these data, in words, the worst first.
        notes: what a reader has to know of the numbers.
        predictions: other runs predicted from the fit.
        epochs_ahead: further epochs of the run; None where none were asked for.
        candidates: forms and null models by information criteria; empty where they were not asked for.
        held_out_documents_r2: of documents predicted from the others; None where that was not asked for.
        bootstrap: 95% ranges of parameters over draws of documents; empty where there were none.
        masked: losses that were left out.
    """

    fit: FitResult
    reason: str
    curves: LagCurves
    toy_curves: LagCurves
    recovery: tuple[Recovery, ...]
    ahead: Forecast | None
    implications: tuple[Implication, ...]
    next_epoch: RecoveryScore
    prior_predictive: tuple[Feature, ...]
    failures: tuple[str, ...]
    notes: tuple[str, ...]
    predictions: tuple[Prediction, ...] = ()
    epochs_ahead: EpochsAhead | None = None
    candidates: tuple[Candidate, ...] = ()
    held_out_documents_r2: float | None = None
    bootstrap: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    masked: int = 0

    @property
    def curves_r2(self) -> float:
        """R^2 of the curves by lag, what documents have in common."""
        return r_squared_of_curves(self.curves, self.toy_curves)

    @property
    def recovery_error(self) -> float | None:
        """Median error of the fitted expectation's recovery scores; None without scores."""
        return _median_error([(r.network, r.toy) for r in self.recovery])

    @property
    def recovery_error_with_noise(self) -> float | None:
        """The same of the scores with noise."""
        return _median_error([(r.network, r.toy_with_noise) for r in self.recovery])

    @property
    def best_null(self) -> tuple[str, float] | None:
        """The null that predicts the held-out epochs best, and its R^2."""
        if self.ahead is None or not self.ahead.nulls:
            return None
        return max(self.ahead.nulls.items(), key=lambda item: item[1])


def _median_error(pairs: list[tuple[RecoveryScore, RecoveryScore]]) -> float | None:
    errors = [abs(a.value - b.value) for a, b in pairs if a and b]
    return float(np.median(errors)) if errors else None


def find(
    result: FitResult,
    ahead: Forecast | None = None,
    *,
    reason: str = "",
    predictions: tuple[Prediction, ...] = (),
    epochs_ahead: EpochsAhead | None = None,
    candidates: tuple[Candidate, ...] = (),
    held_out_documents_r2: float | None = None,
    bootstrap: Mapping[str, tuple[float, float]] | None = None,
    masked: int = 0,
) -> Findings:
    """Judge a fit once, for everyone who presents it.

    Args:
        result: the fit; of a joint one the first run is judged.
        ahead: a forecast of held-out epochs.
        reason: why this form; the fit's own account if empty.
        predictions: of other runs.
        epochs_ahead: further epochs.
        candidates: forms and nulls compared.
        held_out_documents_r2: of documents left out.
        bootstrap: 95% ranges by parameter.
        masked: losses left out.
    """
    if not isinstance(result, FitResult):
        raise InputError(f"findings of a {type(result).__name__}", expected="a fit", fix="bridge.fit(losses)")
    data, guess = result.data, result.prediction
    scores = (recovery_scores(data), recovery_scores(guess), noisy_recovery(result))
    recovery = tuple(Recovery(n, *row) for n, row in enumerate(zip(*scores, strict=True), start=1))
    found = Findings(
        fit=result,
        reason=reason or _reason(result),
        curves=lag_curves(data),
        toy_curves=lag_curves(guess),
        recovery=recovery,
        ahead=ahead,
        implications=tuple(implications(result)),
        next_epoch=next_epoch(result),
        prior_predictive=tuple(prior_predictive_check(data, result.mechanism)),
        failures=(),
        notes=tuple(_notes(result, masked)),
        predictions=predictions,
        epochs_ahead=epochs_ahead,
        candidates=candidates,
        held_out_documents_r2=held_out_documents_r2,
        bootstrap=bootstrap or {},
        masked=masked,
    )
    return dataclasses.replace(found, failures=tuple(_failures(found)))


def _reason(result: FitResult) -> str:
    choice = getattr(result, "choice", None)
    return str(choice.reason) if choice is not None else "the form that was asked for"


def _failures(found: Findings) -> list[str]:
    """Where the mechanism fails."""
    failures, several = [], len(found.fit.datasets) > 1
    for number, pair in enumerate(zip(found.fit.datasets, found.fit.predictions, strict=True), start=1):
        of = f"run {number}, " if several else ""
        failures += [of + fault for fault in (*_other_order(pair[0]), *_odd_losses(*pair))]
    if found.fit.r2 < _LITTLE:
        failures.append(
            f"fit: it explains {max(found.fit.r2, 0):.0%} of all losses, so that what is said here of "
            "parameters and of what follows says little of them"
        )
    null = found.best_null
    if null is not None and found.ahead is not None and found.ahead.r2 is not None:
        better = [name for name, value in found.ahead.nulls.items() if value > found.ahead.r2]
        if better:
            failures.append(f"held-out epochs: predicted less well than by: {', '.join(better)}")
    for prediction in found.predictions:
        if prediction.r2 <= prediction.null_r2 and not prediction.change.nothing:
            failures.append(f"{prediction.run}: predicted no better than as if nothing had changed")
        scores, guesses, _ = prediction.scores
        off = {
            n: abs(s.value - g.value) for n, (s, g) in enumerate(zip(scores, guesses, strict=True)) if s and g
        }
        if off and off[n := max(off, key=off.__getitem__)] > _SCORE_OFF:
            failures.append(
                f"{prediction.run}: recovery of epoch {n + 1} is {scores[n]}, predicted {guesses[n]}"
            )
    unstable = [i for i in found.implications if i.radius > 1]
    for i in unstable:
        failures.append(f"stability: channel {i.channel} would diverge (spectral radius {i.radius:.3f})")
    for f in found.prior_predictive:
        if not f.within:
            failures.append(f"prior predictive check: {f}")
    worst = max(
        (r for r in found.recovery if r.network and r.toy_with_noise),
        key=lambda r: abs(r.network.value - r.toy_with_noise.value),
        default=None,
    )
    if worst is not None and abs(worst.network.value - worst.toy_with_noise.value) > _SCORE_OFF:
        failures.append(
            f"recovery of epoch {worst.epoch}: toy {worst.toy_with_noise} with the documents' departures, "
            f"network {worst.network}"
        )
    return failures


def _other_order(losses: LossMatrix) -> list[str]:
    """Losses that do not fall for the document of which the order says that it was just trained."""
    early = misplaced_epochs(losses)
    for by, epochs in early.items():
        if epochs:
            which = "next" if by > 0 else "an episode before"
            return [
                f"rows: in epoch{'s' * (len(epochs) > 1)} {', '.join(map(str, epochs))} the loss that "
                f"falls most is that of the document trained {which}: a row is missing or stands twice; "
                "row 0 is before training, row r after episode r"
            ]
    place = trained_place(losses)
    if place is None or place < _NOT_TRAINED:
        return []
    most = np.diff(losses.values / 2, axis=0).argmin(axis=1).reshape(-1, losses.tasks)
    shown = ""
    if (np.sort(most, axis=1) == np.arange(losses.tasks)).all():
        shown = ": one document's does in each episode, every document once an epoch, in another order "
        shown += "(np.diff(losses.values, axis=0).argmin(1).reshape(-1, T))"
    return [
        "order: the loss that falls most is not that of the document which was trained by the order "
        f"({'cyclic' if _cyclic(losses) else 'given'}){shown}; whatever is said here holds for the right "
        "order alone: LossMatrix.from_values(values, order)"
    ]


def _odd_losses(run: LossMatrix, prediction: LossMatrix) -> list[str]:
    """Losses that no mechanism has, of documents that are none, and of which one decides the fit."""
    losses, largest = run.values, np.abs(run.values).max()
    odd = []
    below = losses < -1e-6 * largest  # below 0 by rounding is 0
    if below.any():
        odd.append(
            f"losses: {below.sum()} of {below.size} are below 0, the least {losses.min():.4g}, and no "
            "loss is; whatever was subtracted from them is missing in levels and scores"
        )
    still = np.flatnonzero(np.ptp(losses, axis=0) <= 1e-9 * largest)
    if len(still):
        odd.append(f"losses: of document {', '.join(map(str, still))} they never change")
    kinds = np.unique(losses, axis=1).shape[1]
    if kinds < run.tasks - max(0, len(still) - 1):
        odd.append(f"losses: {run.tasks - kinds} of {run.tasks} documents have another's to the "
                   "last digit: one text twice is trained twice an epoch")  # fmt: skip
    rest = (losses / largest - prediction.values / largest) ** 2
    if rest.size > 100 and rest.max() > rest.sum() / 4:
        row, column = np.unravel_index(int(rest.argmax()), rest.shape)
        odd.append(
            f"losses: one, {losses[row, column]:.4g} of document {column} in row {row}, makes "
            f"{rest.max() / rest.sum():.0%} of all that is not explained"
        )
    return odd


def _cyclic(losses: LossMatrix) -> bool:
    return bool((losses.order == np.arange(losses.tasks)).all())


def _notes(result: FitResult, masked: int) -> list[str]:
    notes = []
    configs = [config for run in result.datasets if isinstance(config := run.meta.get("config"), Mapping)]
    differing = [
        f"{name} ({', '.join(str(config.get(name)) for config in configs)})"
        for name in (configs[0] if len(configs) == len(result.datasets) else ())
        if name not in IRRELEVANT and any(config.get(name) != configs[0][name] for config in configs)
    ]
    if differing:
        notes.append(f"the runs differ in {'; '.join(differing)}")
    if masked:
        notes.append(
            f"{masked} losses were left out of the fit, and interpolated for recovery scores, curves by lag "
            "and null models"
        )
    if result.agreeing_starts < len(result.starts):
        notes.append(f"{result.agreeing_starts} of {len(result.starts)} searches ended within 1% of the best")
    if not result.solution.converged:
        notes.append("the last search ended at its limit of evaluations")
    flat = len(result.flat_directions)
    if flat:
        notes.append(
            f"the data say less than the priors about {flat} combination{'s' if flat > 1 else ''} of "
            "parameters (fit.json names them)"
        )
    if result.mechanism.channels > 1:
        notes.append("several channels have several optima of nearly equal worth; intervals know one")
    return notes
