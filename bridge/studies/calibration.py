"""Whether intervals mean what they say: truths drawn from the priors and looked for in the posterior.

``python -m bridge.studies.calibration --truths 300`` prints the share of 95% intervals that hold the truth
and a test of the ranks that simulation-based calibration asks to be uniform (Talts et al. 2018, arXiv
1804.06788), for every parameter of a form; with ``--runs DIR`` the recovery scores of epoch 4 predicted from
the first two epochs of the runs in a folder, with their intervals.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bridge.estimate.choice import FAMILY, FOUR
from bridge.estimate.fit import fit
from bridge.field.departures import HYPERPARAMETERS, Cells, Departures, Whitening
from bridge.model.mechanism import Mechanism
from toymodel import LossMatrix, cyclic_order

__all__ = ["Calibration", "calibrate", "draw", "main"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Calibration:
    """Truths against what fits said of them.

    Attributes:
        names: of the parameters.
        covered: share of 95% intervals that hold the truth, of those that there are, shape ``(p,)``.
        intervals: share of fits that gave one, ``(p,)``.
        ranks: posterior probability below the truth, ``(truths, p)``: uniform if calibrated.
    """

    names: tuple[str, ...]
    covered: Floats
    intervals: Floats
    ranks: Floats

    @property
    def uniform(self) -> Floats:
        """p-values of a Kolmogorov-Smirnov test of each parameter's ranks."""
        return np.array([stats.kstest(column, "uniform").pvalue for column in self.ranks.T])

    @property
    def all_covered(self) -> float:
        """Share of all intervals that hold the truth."""
        return float((self.covered * self.intervals).sum() / self.intervals.sum())


def draw(form: Mechanism, rng: np.random.Generator, tasks: int, epochs: int) -> tuple[LossMatrix, Floats]:
    """A loss matrix of the model that is fitted, all of its numbers drawn from their priors; and theta."""
    order = cyclic_order(tasks, epochs)
    theta = np.array([np.clip(rng.normal(t.centre, t.width), t.low, t.high) for t in form.terms])
    free = np.array([np.clip(rng.normal(h.centre, h.width), h.low, h.high) for h in HYPERPARAMETERS])
    numbers = Departures.of(free, deviation=float(np.exp(rng.normal(np.log(0.03), 0.5))))
    shapes, cells = form.losses(theta, order), Cells(order)
    whitening = Whitening(cells, numbers, cells.mean(shapes))
    own = whitening.coloured(rng.standard_normal(cells.mask.shape))
    common = whitening.common(rng.standard_normal(cells.count.shape))
    scales = 7 * rng.uniform(0.9, 1.1, tasks)
    departures = 7 * numbers.deviation * cells.rows(own + common)
    return LossMatrix(scales * shapes + departures, order), theta


def calibrate(
    form: Mechanism = FOUR, truths: int = 300, tasks: int = 15, epochs: int = 4, seed: int = 0
) -> Calibration:
    """Draw, fit, and look where the truth lies.

    Args:
        form: of the family.
        truths: how many.
        tasks: T of each.
        epochs: E of each.
        seed: of NumPy's default generator.
    """
    rng = np.random.default_rng(seed)
    size = len(form.terms)
    inside, given, ranks = np.zeros(size), np.zeros(size), np.empty((truths, size))
    for n in range(truths):
        losses, theta = draw(form, rng, tasks, epochs)
        result = fit(losses, form, starts=3)
        assert result.curves is not None
        error = np.sqrt(np.diag(result.curves.covariance))
        draws = result.curves.draws
        if draws is None:
            ranks[n] = stats.norm.cdf((theta - result.curves.theta) / error)
        else:
            ranks[n] = [draws.below(p, value) for p, value in enumerate(theta)]
        truth = form.natural(theta)
        for p, parameter in enumerate(result.parameters):
            if parameter.low is not None and parameter.high is not None:
                given[p] += 1
                inside[p] += parameter.low <= truth[p] <= parameter.high
    return Calibration(form.names, inside / np.maximum(given, 1), given / truths, ranks)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--truths", type=int, default=300)
    parser.add_argument("--tasks", type=int, default=15)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--form", choices=list(FAMILY), default="constant shares, bounded link")
    parser.add_argument("--runs", type=Path, help="folder of recorded runs, for scores from two epochs")
    options = parser.parse_args(arguments)
    if options.runs is not None:
        from bridge.studies.little import table

        print(table(options.runs))
        return
    found = calibrate(FAMILY[options.form], options.truths, options.tasks, options.epochs, options.seed)
    print(f"{options.form}: {options.truths} truths of T={options.tasks}, E={options.epochs}")
    print(f"{'parameter':<22}{'covered':>9}{'with interval':>15}{'uniform ranks, p':>18}{'mean rank':>11}")
    for row in zip(
        found.names, found.covered, found.intervals, found.uniform, found.ranks.mean(0), strict=True
    ):
        print(f"{row[0]:<22}{row[1]:>9.3f}{row[2]:>15.3f}{row[3]:>18.3f}{row[4]:>11.3f}")
    print(f"all: {found.all_covered:.3f}")


if __name__ == "__main__":
    main()
