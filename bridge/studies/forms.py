"""Every form of the family on recorded runs: what it explains, what it predicts, beside the best null.

``python -m bridge.studies.forms --runs figures/recorded/h100`` prints a row for every run and the medians of
issue and documentation; ``--sample N`` takes every N-th run of a folder of many. The form of a forecast is
chosen within the epochs it is made from.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge.estimate.fit import fit
from bridge.judge.curves import lag_curves, r_squared_of_curves
from bridge.judge.forecast import forecast
from bridge.judge.implications import implications
from bridge.studies.little import find_runs, score_ahead
from toymodel import LossMatrix, recovery_score
from toymodel.base.files import atomic_write

__all__ = ["dips", "judge_run", "main", "summary"]

Floats = NDArray[np.float64]


def dips(losses: LossMatrix) -> Floats:
    """(peak - last)/(peak - first) of the mean curve of every visit but the last, cut off by the end.

    NaN where nothing is forgotten: where the peak is above the first by no more than a thousandth of it.
    """
    found = []
    for curve in lag_curves(losses).mean[:-1]:
        peak = np.nanmax(curve)
        lost = peak - curve[0]
        found.append((peak - curve[np.isfinite(curve)][-1]) / lost if lost > 1e-3 * peak else np.nan)
    return np.array(found)


def judge_run(losses: LossMatrix) -> dict[str, Any]:
    """One run: the form chosen, its numbers, and what they explain and predict."""
    result, ahead = fit(losses), forecast(losses)
    assert result.choice is not None
    off = np.abs(dips(losses) - dips(result.prediction))
    early = fit(losses.first_epochs(2))
    truth = recovery_score(losses, 4).value if losses.epochs > 4 else float("nan")
    score = score_ahead(early, losses.order, 4, 100) if losses.epochs > 4 else None
    meaning = implications(result)[0]
    return {
        "form": result.choice.chosen.name,
        "numbers": len(result.parameters),
        "parameters": {p.name: [p.value, p.low, p.high] for p in result.parameters},
        "r2": result.r2,
        "r2_curves": r_squared_of_curves(lag_curves(losses), lag_curves(result.prediction)),
        "dips_off": float(np.nanmedian(off)) if np.isfinite(off).any() else None,
        "held_out": ahead.r2,
        "nulls": ahead.nulls,
        "stable": bool(meaning.radius <= 1 + 1e-9),
        "score": truth,
        "score_from_two": None if score is None else [score.value, score.low, score.high],
        "seconds": result.seconds,
    }


def _median(values: Sequence[float | None]) -> float:
    known = [v for v in values if v is not None and np.isfinite(v)]
    return float(np.median(known)) if known else float("nan")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runs", type=Path, required=True, help="folder of run folders or .npz files")
    parser.add_argument("--sample", type=int, default=1, help="every N-th run")
    parser.add_argument("--offset", type=int, default=0, help="the first of them")
    parser.add_argument("--tasks", type=int, default=10_000, help="runs of at most so many documents")
    parser.add_argument("--only", default="", help="runs whose name holds this")
    parser.add_argument("--out", type=Path, help="JSON of everything")
    options = parser.parse_args(arguments)
    runs = {
        name: losses
        for name, losses in find_runs(options.runs).items()
        if options.only in name and losses.tasks <= options.tasks
    }
    chosen = {name: losses for n, (name, losses) in enumerate(runs.items())
              if n % options.sample == options.offset and (losses.order == losses.order[0]).all()
              and losses.epochs >= 4}  # fmt: skip
    heads = ("n", "all", "curves", "dips", "ahead", "null", "score", "of two")
    print(f"{'run':<36}" + "".join(f"{head:>8}" for head in heads) + "  form")
    record: dict[str, Any] = {}
    for name, losses in chosen.items():
        found = record[name] = judge_run(losses)
        two = found["score_from_two"]
        null = max(found["nulls"].values(), default=None)
        score = None if two is None else two[0]
        cells = (
            found["r2"],
            found["r2_curves"],
            found["dips_off"],
            found["held_out"],
            null,
            found["score"],
            score,
        )
        told = "".join(f"{np.nan if v is None else v:>8.3f}" for v in cells)
        print(f"{name:<36}{found['numbers']:>8}{told}  {found['form']}", flush=True)
    print(summary(list(record.values())))
    if options.out is not None:
        with atomic_write(options.out, "w") as file:
            json.dump(record, file, indent=1)
            file.write("\n")


def summary(rows: Sequence[dict[str, Any]]) -> str:
    """Medians over runs, in words."""
    names = sorted({name for row in rows for name in row["nulls"]})
    nulls = {name: _median([row["nulls"].get(name) for row in rows]) for name in names}
    best = max(nulls, key=lambda name: nulls[name], default="none")
    two = [(row["score"], *row["score_from_two"]) for row in rows if row["score_from_two"] is not None]
    known = [row for row in two if np.isfinite(row[0]) and np.isfinite(row[1])]
    inside = sum(low <= score <= high for score, _, low, high in known)
    return "\n".join([
        f"medians of {len(rows)} runs",
        f"  R^2 of all losses {_median([r['r2'] for r in rows]):.3f}",
        f"  R^2 of the curves {_median([r['r2_curves'] for r in rows]):.3f}",
        f"  dips by lag off by {_median([r['dips_off'] for r in rows]):.3f}",
        f"  R^2 of held-out epochs {_median([r['held_out'] for r in rows]):.3f}",
        f"  the best null's {nulls.get(best, np.nan):.3f} ({best})",
        f"  score of epoch 4 from two epochs off by {_median([abs(r[0] - r[1]) for r in known]):.3f}",
        f"  in its interval {inside} of {len(known)}",
        f"  stable {sum(r['stable'] for r in rows)} of {len(rows)}",
        f"  shared numbers at most {max(r['numbers'] for r in rows)}",
    ])  # fmt: skip


if __name__ == "__main__":
    main()
