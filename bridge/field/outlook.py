"""What a fit expects of losses that it has not seen, and how far they may be off.

Where a schedule goes on from the fitted one, departures go on with it: what a document's own departure and
the common misfit come again as follows from the fitted covariance. Where it is another schedule, departures
are drawn anew. Draws take the uncertainty of theta, of the scales and of both fields together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bridge.field.curves import CurveFit, MatrixFit
from bridge.field.departures import Cells, Whitening
from bridge.field.likelihood import scaled

__all__ = ["Outlook"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Outlook:
    """Losses of one schedule as one matrix of a fit has them, in the fit's unit.

    Attributes:
        fit: the fit.
        dataset: which matrix.
        order: the schedule, shape ``(E, T)``.
        anew: departures are drawn anew though the schedule goes on from the fitted one.
    """

    fit: CurveFit
    dataset: int
    order: NDArray[np.int64]
    anew: bool = False

    @property
    def _found(self) -> MatrixFit:
        return self.fit.matrices[self.dataset]

    @property
    def begins(self) -> bool:
        """Whether the schedule begins with the fitted one."""
        known = self._found.matrix.order
        if self.anew or len(self.order) < len(known):
            return False
        return bool((self.order[: len(known)] == known).all())

    @property
    def follows(self) -> bool:
        """Whether departures go on: where an order stops repeating, its cells don't come again."""
        repeats = bool((self.order == self.order[0]).all())
        return self.begins and repeats == self._found.matrix.cells.repeats

    def _room(self) -> tuple[Cells, Cells]:
        """Cells of the fitted schedule and of this one, with as many lags each."""
        known, new = self._found.matrix.cells, Cells(self.order)
        longest = max(known.lags, new.lags)
        return known.lagged(longest), new.lagged(longest)

    def expectation(self) -> Floats:
        """Expected losses, shape ``(1 + E*T, T)``; those of the fitted schedule are what was seen."""
        shapes = self.fit.mechanism.losses(self.fit.theta[self._found.matrix.index], self.order)
        mean = self._found.scales * shapes
        if self.follows:
            mean = mean + self._departures(shapes, self._found.shapes, self._found.scales)
        return self._with_known(mean)

    def _with_known(self, losses: Floats) -> Floats:
        if self.begins:
            losses[..., : len(self._found.matrix.values), :] = self._found.matrix.values
        return losses

    def sample(self, draws: int, rng: np.random.Generator) -> Floats:
        """Losses that may be found, shape ``(draws, 1 + E*T, T)``; not below 0."""
        found, fit = self._found, self.fit
        spread = np.linalg.cholesky(found.scale_covariance)
        result = np.empty((draws, 1 + self.order.size, self.order.shape[1]))
        for draw, drawn in zip(result, fit.some(draws, rng), strict=True):
            theta = fit.prior.box.clip(drawn)[found.matrix.index]
            known = fit.mechanism.losses(theta, found.matrix.order)
            scales = scaled(found.matrix, found.whitening, known).scales + spread @ rng.standard_normal(
                len(spread)
            )
            shapes = fit.mechanism.losses(theta, self.order)
            draw[:] = scales * shapes + self._departures(shapes, known, scales, rng)
        return self._with_known(np.maximum(result, 0.0))

    def _departures(
        self, shapes: Floats, known: Floats, scales: Floats, rng: np.random.Generator | None = None
    ) -> Floats:
        """Departures in this schedule given those in the fitted one: expected, or drawn.

        Args:
            shapes: the mechanism's in this schedule.
            known: the mechanism's in the fitted one.
            scales: k_j.
            rng: of draws; the expectation if None.
        """
        matrix, numbers = self._found.matrix, self._found.departures
        old, new = self._room()
        start = float(matrix.values[0, matrix.seen].mean())
        level = new.mean(scales * shapes) / (start if start > 0 else 1.0)
        first = self._found.whitening
        if self.follows:
            known_level = old.mean(matrix.values) / (start if start > 0 else 1.0)
            level[: old.visits + 1] = np.where(old.count > 0, known_level, level[: old.visits + 1])
            if old is not matrix.cells:
                first = Whitening(old, numbers, known_level)
        later = Whitening(new, numbers, level)

        def draw(shape: tuple[int, ...]) -> Floats:
            if rng is None:
                return np.zeros(shape)
            return np.asarray(numbers.deviation * rng.standard_normal(shape))

        own = draw((new.tasks, new.visits + 1, new.lags))
        innovations = draw((new.visits + 1, new.lags))
        if self.follows:
            rows = slice(0, old.visits + 1)
            residual = matrix.values - scales * known
            # A draw of both fields, corrected by what the data say of the common one (Matheron's rule).
            noise = draw(first.own.shape) / np.sqrt(np.maximum(old.count, 1))
            blind = self._means(first, innovations[rows]) + noise
            means = first.split(first.white(residual))[0]
            innovations[rows] += first.innovations(means - blind)
            shared = old.rows(np.broadcast_to(first.common(innovations[rows]), (old.tasks, *first.own.shape)))
            white = first.white(residual - shared)
            own[:, rows] = np.where(old.mask, white, own[:, rows])
        shared = np.broadcast_to(later.common(innovations), (new.tasks, *later.own.shape))
        return new.rows(later.coloured(own) + shared)

    @staticmethod
    def _means(whitening: Whitening, innovations: Floats) -> Floats:
        """Whitened cell means that innovations of the common field make."""
        result = np.zeros(innovations.size)
        for group, (spread, cells) in enumerate(zip(whitening.spreads, whitening.observed, strict=True)):
            part = innovations[0] if group == 0 else innovations[1:].ravel()
            result[cells] = spread @ part
        return result.reshape(innovations.shape)
