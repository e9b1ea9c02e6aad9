"""Runs that a fit never saw, predicted from it alone: another order, other steps, epochs, fewer documents.

A fitted curve can continue itself; it has nothing to say of an experiment that was changed. Beside every
prediction stands the null that the change changes nothing (`bridge.judge.nulls.unchanged`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bridge.estimate.result import FitResult
from bridge.judge.identity import Change, Identity, identify, relate
from bridge.judge.nulls import unchanged
from toymodel import LossMatrix, RecoveryScore, online_loss, recovery_scores
from toymodel.measures.agreement import r_squared

__all__ = ["Prediction", "predict", "predict_runs"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Prediction:
    """Another run's losses, predicted, beside those found.

    Attributes:
        run: its name.
        change: what it changes.
        truth: losses found.
        guess: predicted from the fit.
        null: as if nothing had changed, shape of the losses.
    """

    run: str
    change: Change
    truth: LossMatrix
    guess: LossMatrix
    null: LossMatrix

    def _after(self, rows: int, guess: LossMatrix) -> float:
        return r_squared(self.truth.values[rows:], guess.values[rows:])

    @property
    def r2(self) -> float:
        """R^2 over every loss after training began."""
        return self._after(1, self.guess)

    @property
    def null_r2(self) -> float:
        """The same of the null."""
        return self._after(1, self.null)

    @property
    def later_r2(self) -> float | None:
        """R^2 after the first epoch, in which many changes have changed little; None for one epoch."""
        return self._after(1 + self.truth.tasks, self.guess) if self.truth.epochs > 1 else None

    @property
    def later_null_r2(self) -> float | None:
        """The same of the null."""
        return self._after(1 + self.truth.tasks, self.null) if self.truth.epochs > 1 else None

    @property
    def scores(self) -> tuple[list[RecoveryScore], list[RecoveryScore], list[RecoveryScore]]:
        """Recovery scores found, predicted, and of the null."""
        found, guess, null = (recovery_scores(m) for m in (self.truth, self.guess, self.null))
        return found, guess, null

    @property
    def online(self) -> tuple[Floats, Floats, Floats]:
        """Mean loss right before training, by epoch: found, predicted, and of the null."""
        return online_loss(self.truth), online_loss(self.guess), online_loss(self.null)

    @property
    def after_epochs(self) -> tuple[Floats, Floats, Floats]:
        """Mean loss over all documents at the end of every epoch: found, predicted, and of the null."""
        ends = self.truth.tasks * np.arange(1, self.truth.epochs + 1)
        found, guess, null = (m.values[ends].mean(1) for m in (self.truth, self.guess, self.null))
        return found, guess, null


def predict(
    result: FitResult, truth: LossMatrix, change: Change, run: str = "", dataset: int = 0
) -> Prediction:
    """Predict a loss matrix from a fit that never saw it.

    Args:
        result: the fit.
        truth: what was found; of it only the order is used for the prediction.
        change: what the run changes.
        run: its name.
        dataset: which matrix of a joint fit is the fitted run.

    Raises:
        InputError: for an order or documents that the fit cannot predict.
    """
    guess = result.predict(order=truth.order, steps=change.steps, documents=change.documents, dataset=dataset)
    null = unchanged(result.datasets[dataset], truth.order, change.documents)
    return Prediction(run, change, truth, guess, LossMatrix(null, truth.order))


def predict_runs(
    result: FitResult, fitted: Identity, others: Sequence[str | os.PathLike[str]]
) -> list[Prediction]:
    """Predict run folders or files from the fit to one.

    Args:
        result: the fit.
        fitted: the run that it was fitted to.
        others: run folders or loss matrices, as `LossMatrix.load` takes them.

    Raises:
        InputError: for what cannot be read, and for runs of other documents.
    """
    found = [identify(path, LossMatrix.load(path)) for path in others]
    changes = [relate(fitted, other) for other in found]
    return [
        predict(result, other.losses, change, other.name)
        for other, change in zip(found, changes, strict=True)
    ]
