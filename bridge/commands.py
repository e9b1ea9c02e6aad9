"""``reawaken fit``: loss matrices in, report, fit.json, picture and page out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from toymodel.base.errors import InputError

if TYPE_CHECKING:
    from bridge.estimate.result import FitResult
    from bridge.judge.forecast import Forecast
    from bridge.judge.goodness import Candidate

__all__ = ["COMMANDS", "fit_command"]


def fit_command(
    runs: tyro.conf.Positional[tuple[Path, ...]],
    *,
    shared: tuple[str, ...] = (),
    channels: int | None = None,
    drift: Literal["none", "epoch", "loss"] | None = None,
    link: Literal["linear", "power", "exponential", "saturating"] | None = None,
    nearness: bool | None = None,
    pairs: bool | None = None,
    floor: bool | None = None,
    held_out: int = 2,
    table: bool = False,
    documents: bool = False,
    bootstrap: int = 0,
    starts: int = 6,
    out: Path | None = None,
) -> None:
    """Fit the toy model to loss matrices and report what it explains and what it does not.

    Args:
        runs: Run folders, .npz or .npy loss matrices; several are fitted jointly.
        shared: Parameters that several runs have in common, e.g. slow_share; the others are each run's own.
        channels: Independent sets of dimensions (2 where the data allow).
        drift: Whether shares stay, or move with the epoch or with the loss.
        link: From squared distance to loss.
        nearness: Similarity that depends on distance in the order.
        pairs: Correlated documents.
        floor: A floor beside each document's scale.
        held_out: Epochs predicted from a fit to the others (first run).
        table: Also compare the family and the null models by AIC and BIC (first run; a minute).
        documents: Also predict every fifth document from a fit to the others (first run).
        bootstrap: Also refit so many times with documents drawn anew (first run).
        starts: Starting points.
        out: Folder for fit.json, fit.png and fit.html.
    """
    from dataclasses import replace

    import numpy as np

    from bridge.estimate.bootstrap import bootstrap as resample
    from bridge.estimate.checks import choose
    from bridge.estimate.fit import fit
    from bridge.judge.forecast import forecast, held_out_documents
    from bridge.judge.goodness import table as compare
    from bridge.judge.implications import implications, next_epoch
    from bridge.judge.prior_predictive import prior_predictive_check
    from bridge.present.report import prior_predictive_lines, report, to_json
    from toymodel import LossMatrix

    if not runs:
        raise InputError("no run to fit", expected="run folders or loss matrices", fix="reawaken fit RUN")
    if out is not None and out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file", expected="a folder, or a new name", fix=f"--out {out}-fit")
    if bootstrap < 0:
        raise InputError(f"--bootstrap {bootstrap}", expected="0 or more", fix="--bootstrap 20")
    matrices = [LossMatrix.load(path) for path in runs]
    wanted = {"channels": channels, "drift": drift, "link": link, "nearness": nearness, "pairs": pairs,
              "floor": floor}  # fmt: skip
    given: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
    form = replace(choose(matrices[0], matrices[0].values.size), **given) if given else None
    result = fit(matrices, form, shared=shared, starts=starts)
    ahead = forecast(matrices[0], held_out, form)
    within = prior_predictive_check(matrices[0])
    print("\n".join(prior_predictive_lines(within)))
    print(report(result, ahead))
    record = to_json(result, ahead)
    record["runs"] = [path.name for path in runs]
    record["prior_predictive"] = {s.name: {"value": s.value, "low": s.low, "high": s.high} for s in within}
    print("\nchannel       A       B  margin  radius  transport  recovery that training approaches")
    record["implications"] = []
    for m in implications(result):
        numbers = f"{m.slow:>8.3f}{m.fast:>8.3f}{m.margin:>8.3f}{m.radius:>8.3f}{m.transport:>11.2f}"
        print(f"{m.channel:<7}{numbers}  {m.recovery}")
        score = m.recovery.value if m.recovery else None
        record["implications"].append(vars(m) | {"recovery": score})
    print(f"predicted recovery score of one epoch more: {next_epoch(result)}")
    if documents:
        record["held_out_documents_r2"] = held_out_documents(matrices[0], form)
        print(f"every fifth document predicted from the others: R^2 {record['held_out_documents_r2']:.3f}")
    candidates = compare(matrices[0]) if table else []
    if candidates:
        print(f"\n{'form':<40}{'parameters':>11}{'R^2':>7}{'shift':>7}{'recovery':>10}{'AIC':>8}{'BIC':>8}")
        for c in candidates:
            error = "-" if c.recovery_error is None else f"{c.recovery_error:.3f}"
            print(f"{c.name:<40}{c.parameters:>11.0f}{c.r2:>7.3f}{c.shift_averaged:>7.3f}{error:>10}"
                  f"{c.aic:>8.0f}{c.bic:>8.0f}")  # fmt: skip
        record["table"] = [vars(c) for c in candidates]
    if bootstrap:
        draws = resample(result, bootstrap)
        print(f"\n{bootstrap} draws of documents, middle 95% (min to max below 40 draws)")
        record["bootstrap"] = {}
        for name, column in zip(result.names, draws.T, strict=True):
            low, high = (float(v) for v in np.quantile(column, [0.025, 0.975]))
            record["bootstrap"][name] = [low, high]
            print(f"{name:<24}{low:>10.4g}{high:>10.4g}")
    if out is not None:
        _write(out, record, result, ahead, candidates)


def _write(
    out: Path, record: dict[str, Any], result: FitResult, ahead: Forecast, candidates: list[Candidate]
) -> None:
    import json

    from bridge.present.fit_page import write_html
    from bridge.present.picture import plot
    from toymodel.base.files import atomic_write

    with atomic_write(out / "fit.json", "w") as file:
        json.dump(record, file, indent=2, allow_nan=False)
        file.write("\n")
    with atomic_write(out / "fit.png") as file:
        plot(result, ahead).savefig(file, format="png")
    write_html(out / "fit.html", result, ahead, candidates)
    print()
    for name in ("fit.json", "fit.png", "fit.html"):
        print(f"wrote {out / name}")


COMMANDS = {"": fit_command}
