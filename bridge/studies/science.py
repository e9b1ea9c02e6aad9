"""Real runs, their fits, and predictions checked by running the network: one command, one table.

``python -m bridge.studies.science --runs DIR --out FILE.json`` trains what DIR lacks (about four minutes of
one core in all), fits every run, and prints the tables of docs/science.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bridge.estimate.checks import choose
from bridge.estimate.fit import fit
from bridge.estimate.result import FitResult
from bridge.judge.forecast import forecast, forecast_jointly
from bridge.judge.goodness import goodness, noisy_recovery
from bridge.judge.identity import Change
from bridge.judge.predictions import predict as guess_run
from bridge.model.mechanism import Mechanism
from bridge.studies.designs import DESIGNS, make
from toymodel import LossMatrix, recovery_scores
from toymodel.base.files import atomic_write, check_output
from toymodel.measures.agreement import r_squared

__all__ = ["judge", "predict", "science", "table"]

# The parameters of the table come from the simplest form that shows recovery: two channels explain more, but
# which of several pairs of channels does so is not determined by one run.
SIMPLE = Mechanism(channels=1, nearness=False, pairs=False)


def judge(losses: LossMatrix) -> tuple[dict[str, Any], FitResult]:
    """Quality of the fullest fit, and the parameters of the simplest."""
    result, simple = (
        fit(losses, describe=True, intervals_by="none"),
        fit(losses, SIMPLE, intervals_by="quadratic"),
    )
    ahead, judged = forecast(losses), goodness(result)
    network = [s.value for s in recovery_scores(losses)]
    noisy = [s.value for s in noisy_recovery(result)]
    record = {
        "r2": result.r2,
        "r2_simple": simple.r2,
        "r2_shift_averaged": judged.shift_averaged,
        "held_out_r2": ahead.r2,
        "held_out_r2_mechanism": ahead.r2_mechanism,
        "residual_carried": ahead.carried,
        "nulls": ahead.nulls,
        "recovery": network,
        "recovery_toy": [s.value for s in recovery_scores(result.prediction)],
        "recovery_toy_with_noise": noisy,
        "recovery_error": judged.recovery_error,
        "recovery_error_with_noise": float(np.nanmedian(np.abs(np.subtract(network, noisy)))),
        "dimension": result.noise.dimension if np.isfinite(result.noise.dimension) else None,
        "full": {p.name: p.value for p in result.parameters},
        "simple": {p.name: [p.value, p.low, p.high] for p in simple.parameters},
    }
    return record, result


def predict(result: FitResult, name: str, truth: LossMatrix, dataset: int = 0) -> dict[str, float]:
    """R^2 of an intervention's losses predicted from a fit that never saw them.

    The null takes the fitted run's own losses, by document, visits so far and episodes since the last one, as
    if the intervention changed nothing else.
    """
    changes = {**DESIGNS["embedded"].interventions, **DESIGNS["small"].interventions}[name]
    kept = tuple(range(int(changes["num_documents"]))) if "num_documents" in changes else None
    steps = changes["steps"] / 10 if "steps" in changes else 1.0
    found = guess_run(result, truth, Change(name, kept, steps), name, dataset)
    rows = slice(1 + result.datasets[dataset].episodes, None) if "epochs" in changes else slice(1, None)
    network, toy, _ = found.scores
    errors = [abs(a.value - b.value) for a, b in zip(network, toy, strict=True) if a and b]
    return {
        "r2": r_squared(truth.values[rows], found.guess.values[rows]),
        "unchanged": r_squared(truth.values[rows], found.null.values[rows]),
        "recovery_error": float(np.median(errors)) if errors else float("nan"),
    }


def science(runs: Path, seeds: Sequence[int] = (0, 1, 2), design: str = "small") -> dict[str, Any]:
    """Train what is missing, fit and predict everything."""
    record: dict[str, Any] = {"design": design, "runs": {}, "predictions": {}}
    for name in DESIGNS[design].runs:
        matrices = [make(name, seed, runs, design).losses for seed in seeds]
        # What seeds have in common is known better from all of them.
        ahead = forecast_jointly(matrices)
        for seed, losses, forecasted in zip(seeds, matrices, ahead, strict=True):
            record["runs"][f"{name}-{seed}"], result = judge(losses)
            record["runs"][f"{name}-{seed}"]["held_out_r2_joint"] = forecasted.r2
            print(f"{name}-{seed}: R^2 {result.r2:.3f}", flush=True)
        if name == "adam":
            form = choose(matrices[0], matrices[0].values.size)
            joint = fit(matrices, form, shared=form.names, intervals_by="none")
            for number, seed in enumerate(seeds):
                for other in DESIGNS[design].interventions:
                    truth = make(other, seed, runs, design).losses
                    record["predictions"][f"{other}-{seed}"] = predict(joint, other, truth, number)
    return record


def table(record: Mapping[str, Any]) -> str:
    """The record as two Markdown tables: mean over seeds, and standard deviation where there are several."""

    def over(values: Sequence[float | None], digits: int = 2) -> str:
        known = np.array([v for v in values if v is not None], dtype=np.float64)
        if not len(known):
            return "-"
        spread = f" ± {known.std(ddof=1):.{digits}f}" if len(known) > 1 else ""
        return f"{known.mean():.{digits}f}{spread}"

    def of(kind: str, name: str) -> list[dict[str, Any]]:
        return [value for key, value in record[kind].items() if key.rpartition("-")[0] == name]

    lines = [
        "| run | last recovery score | R² | held-out R² | mechanism alone | seeds jointly | geometric null "
        "| score error | unfitted u | slow share s | drift of u | drift of s | exponent p |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in DESIGNS[record["design"]].runs:
        rows = of("runs", name)
        if not rows:
            continue
        simple = [r["simple"] for r in rows]
        cells = [
            over([r["recovery"][-1] for r in rows]),
            over([r["r2"] for r in rows], 3),
            over([r["held_out_r2"] for r in rows]),
            over([r["held_out_r2_mechanism"] for r in rows]),
            over([r["held_out_r2_joint"] for r in rows]),
            over([r["nulls"]["each entry continued geometrically"] for r in rows]),
            over([r["recovery_error_with_noise"] for r in rows], 3),
            *(over([s[p][0] for s in simple]) for p in
              ("unfitted_fraction", "slow_share", "unfitted_drift", "slow_drift", "exponent")),
        ]  # fmt: skip
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", "| prediction | R² | as if nothing changed | score error |", "|---|---|---|---|"]
    for name in DESIGNS[record["design"]].interventions:
        rows = of("predictions", name)
        if rows:
            cells = [over([r[k] for r in rows]) for k in ("r2", "unchanged", "recovery_error")]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    runs = list(record["runs"].values())
    medians = {
        "R²": [r["r2"] for r in runs],
        "held-out R²": [r["held_out_r2"] for r in runs],
        "by the mechanism alone": [r["held_out_r2_mechanism"] for r in runs],
        "geometric null": [r["nulls"]["each entry continued geometrically"] for r in runs],
        "held-out R², seeds jointly": [r["held_out_r2_joint"] for r in runs],
        "score error, expectation": [r["recovery_error"] for r in runs],
        "score error, with noise": [r["recovery_error_with_noise"] for r in runs],
    }
    words = ", ".join(
        f"{name} {np.median([v for v in column if v is not None]):.3f}" for name, column in medians.items()
    )
    return "\n".join([*lines, "", f"Medians over {len(runs)} runs: {words}."])


def main(
    runs: Path = Path("runs/science"),
    out: Path = Path("runs/science.json"),
    seeds: tuple[int, ...] = (0, 1, 2),
    design: Literal["small", "embedded"] = "small",
) -> None:
    """Train, fit, predict, print the tables and write the record.

    Args:
        runs: Folder of run folders; what it holds is not trained again.
        out: Where the record goes.
        seeds: Seeds of every run.
        design: The runs: a small network in six variants, or the preset "embedded" itself.
    """
    check_output(out, suffixes=(".json",))
    record = science(runs, seeds, design)
    with atomic_write(out, "w") as file:
        json.dump(record, file, indent=1)
        file.write("\n")
    print(table(record))


if __name__ == "__main__":
    import tyro

    tyro.cli(main)
