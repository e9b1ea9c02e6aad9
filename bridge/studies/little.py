"""From little data: what the first two epochs say of a later recovery score, with an interval."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bridge.estimate.fit import fit
from bridge.estimate.result import FitResult
from toymodel import InputError, LossMatrix, recovery_score
from toymodel.base.words import arg

__all__ = ["Score", "find_runs", "score_ahead", "table"]


@dataclass(frozen=True)
class Score:
    """A recovery score that was not seen.

    Attributes:
        value: that of the expected losses, which no draw is.
        low: lower end of the 95% interval.
        high: upper end.
        certain: share of draws in which there is a score: a loss that only falls has none.
    """

    value: float
    low: float
    high: float
    certain: float


def score_ahead(result: FitResult, order: np.ndarray, n: int, draws: int = 200, seed: int = 0) -> Score:
    """The recovery score of epoch n of a longer run.

    Args:
        result: a fit to its beginning.
        order: its schedule, shape ``(E, T)``, E > n.
        n: from 1.
        draws: of everything that is uncertain.
        seed: of NumPy's default generator.
    """
    drawn = result.sample(order, draws, np.random.default_rng(seed))
    values = np.array([recovery_score(LossMatrix(losses, order), n).value for losses in drawn])
    known = values[np.isfinite(values)]
    expected = recovery_score(result.expected(order), n).value
    if not len(known):
        return Score(expected, np.nan, np.nan, 0.0)
    low, high = (float(v) for v in np.quantile(known, [0.025, 0.975]))
    return Score(expected, low, high, len(known) / len(values))


def find_runs(folder: Path) -> dict[str, LossMatrix]:
    """Loss matrices in a folder, by name: run folders, or .npz files.

    Raises:
        InputError: where there is none.
    """
    paths = sorted(path.parent for path in folder.glob("*/losses.npz")) or sorted(folder.glob("*.npz"))
    if not paths:
        raise InputError(f"no runs in {folder}", expected="run folders or .npz files",
                         fix=arg("runs", "figures/recorded/h100"))  # fmt: skip
    return {path.stem if path.suffix == ".npz" else path.name: LossMatrix.load(path) for path in paths}


def table(folder: Path, seen: int = 2, n: int = 4) -> str:
    """Every run's score of epoch n beside what its first epochs say of it."""
    lines = [f"{'run':<40}{'found':>7}{'predicted':>11}{'interval':>14}"]
    errors, inside = [], []
    for name, losses in find_runs(folder).items():
        if losses.epochs <= n or not (losses.order == losses.order[0]).all():
            continue
        truth = recovery_score(losses, n).value
        found = score_ahead(fit(losses.first_epochs(seen)), losses.order, n)
        told = f"[{found.low:.2f}, {found.high:.2f}]"
        lines.append(f"{name:<40}{truth:>7.2f}{found.value:>11.2f}{told:>14}")
        if np.isfinite(truth) and np.isfinite(found.value):
            errors.append(abs(found.value - truth))
            inside.append(found.low <= truth <= found.high)
    lines.append(f"median error {np.median(errors):.3f}, inside the interval {sum(inside)} of {len(inside)}")
    return "\n".join(lines)
