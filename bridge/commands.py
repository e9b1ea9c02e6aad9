"""``reawaken fit``: loss matrices in, report, fit.json, pictures and page out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from toymodel.base.errors import InputError, defaults_of, refuse_ignored
from toymodel.base.words import arg, args, either

if TYPE_CHECKING:
    from bridge.judge.findings import Findings

__all__ = ["COMMANDS", "fit_command"]


def fit_command(
    runs: tyro.conf.Positional[tuple[Path, ...]],
    *,
    predict: tuple[Path, ...] = (),
    epochs_ahead: int = 0,
    describe: bool = False,
    shared: tuple[str, ...] = (),
    channels: int | None = None,
    drift: Literal["none", "slow", "epoch", "loss"] | None = None,
    link: Literal["linear", "power", "exponential", "saturating"] | None = None,
    nearness: bool | None = None,
    pairs: bool | None = None,
    floor: bool | None = None,
    interference: bool | None = None,
    diffusion: bool | None = None,
    sharing: Literal["all", "uniform", "beta"] | None = None,
    held_out: int = 2,
    mask_nan: bool = False,
    table: bool = False,
    documents: bool = False,
    bootstrap: int = 0,
    starts: int = 6,
    which_order: bool = False,
    epoch_length: int | None = None,
    out: Path | None = None,
) -> None:
    """Fit the toy model to loss matrices and report what it explains, what it predicts and where it fails.

    Args:
        runs: Run folders, loss matrices as .npz, .npy or .csv; several are fitted jointly.
        predict: Other runs of the same network and documents, predicted from the fit to RUN alone.
        epochs_ahead: Further epochs to predict, with intervals.
        describe: Fit the fullest form that the losses can bear in place of the simplest that predicts.
        shared: Parameters that several runs have in common, e.g. slow_share; the others are each run's own.
        channels: Independent sets of dimensions (2 where the data allow).
        drift: Whether shares stay, the slow share moves with the epoch, or both with it or with the loss.
        link: From squared distance to loss.
        nearness: Similarity that depends on distance in the order.
        pairs: Correlated documents.
        floor: A floor beside each document's scale.
        interference: Documents similar by chance, as in a space of few dimensions.
        diffusion: Solutions moved at random by steps that do not shrink, as Adam's.
        sharing: Part of the documents that trains a direction of w: all, uniform between 0 and 1, or from
            Beta(g, 1), whose mean is fitted.
        held_out: Epochs predicted from a fit to the others (first run).
        mask_nan: Leave losses that are NaN out of the fit in place of refusing them.
        table: Also compare the family and the null models by AIC and BIC (first run; a minute).
        documents: Also predict every fifth document from a fit to the others (first run).
        bootstrap: Also refit so many times with documents drawn anew (first run).
        starts: Starting points.
        which_order: Say, in place of a fit, in which order documents came: the same, reshuffled, or displaced
            by a resumed run. From losses before each step alone; a plain log will do (lines, CSV, JSON).
        epoch_length: Documents to the epoch, of a plain log; without, whether its sequence began anew.
        out: Folder for fit.json, fit.png, fit.html and, of predicted runs, predictions.png.
    """
    settings = dict(locals())
    from dataclasses import replace

    import numpy as np

    from bridge.estimate.bootstrap import bootstrap as resample
    from bridge.estimate.checks import choose
    from bridge.estimate.choice import FOUR
    from bridge.estimate.fit import fit
    from bridge.estimate.inputs import read
    from bridge.judge.ahead import epochs_ahead as further
    from bridge.judge.findings import find
    from bridge.judge.forecast import forecast, held_out_documents
    from bridge.judge.goodness import table as compare
    from bridge.judge.identity import identify, relate
    from bridge.judge.predictions import predict_runs
    from bridge.present.report import report
    from toymodel import LossMatrix
    from toymodel.base.files import check_output_folder

    if not runs:
        raise InputError("no run to fit", expected="run folders or loss matrices", fix="reawaken fit RUN")
    if which_order:
        for name in ("runs", "which_order", "epoch_length"):
            del settings[name]
        refuse_ignored(settings, defaults_of(fit_command), arg("which_order", True) + ", which fits nothing")
        from bridge.orders.command import tell_orders

        tell_orders(runs, epoch_length)
        return
    if epoch_length is not None:
        raise InputError(
            arg("epoch_length", epoch_length) + " without " + arg("which_order"),
            expected="both, or neither",
            fix=args(which_order=True, epoch_length=epoch_length),
        )
    for name, count in (("bootstrap", bootstrap), ("epochs_ahead", epochs_ahead)):
        if count < 0:
            raise InputError(arg(name, count), expected="0 or more", fix=arg(name, -count))
    if predict and len(runs) > 1:
        one = f"reawaken fit {runs[0]} --predict {' '.join(map(str, predict))}"
        raise InputError(arg("predict") + f" from a fit to {len(runs)} runs", expected="a fit to one run",
                         fix="one of them: " + either(arg("runs", f"[{str(runs[0])}]"), one))  # fmt: skip
    if out is not None:
        check_output_folder(out)
    given = [read(path, mask_nan) for path in runs]
    matrices, known = [matrix for matrix, _ in given], [mask for _, mask in given]
    first = identify(runs[0], matrices[0])
    # What cannot be predicted is said before the fit, not after.
    for path in predict:
        relate(first, identify(path, LossMatrix.load(path)))
    wanted = {"channels": channels, "drift": drift, "link": link, "nearness": nearness, "pairs": pairs,
              "floor": floor, "interference": interference, "diffusion": diffusion,
              "sharing": sharing}  # fmt: skip
    asked: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
    fullest = choose(matrices[0], matrices[0].values.size)
    form = replace(fullest if describe else FOUR, **asked) if asked or describe else None
    # Two channels describe what was seen and go wrong beyond it.
    beyond = replace(form, channels=1) if form is not None else None
    masked = sum(int((~mask).sum()) for mask in known)
    with _said() as say:
        say(f"fit to {matrices[0].tasks} documents, {matrices[0].epochs} epochs")
        result = fit(matrices, form, shared=shared, starts=starts, observed=known if masked else None)
        say(f"forecast of {held_out} held-out epochs")
        ahead = forecast(matrices[0], held_out, beyond, known[0] if masked else None)
        say("predictions of other runs")
        predictions = tuple(predict_runs(result, first, predict))
        say("further epochs")
        more = further(result, epochs_ahead) if epochs_ahead else None
        say("table of forms and nulls")
        candidates = tuple(compare(matrices[0])) if table else ()
        say("documents held out")
        left_out = held_out_documents(matrices[0], form) if documents else None
        say("documents drawn anew")
        draws = resample(result, bootstrap) if bootstrap else np.zeros((0, 0))
        ranges = {
            name: (float(np.quantile(column, 0.025)), float(np.quantile(column, 0.975)))
            for name, column in zip(result.names if bootstrap else (), draws.T, strict=True)
        }
        say("verdicts")
        found = find(
            result,
            ahead,
            reason="the fullest form that so many losses can bear" if describe and not asked else "",
            predictions=predictions,
            epochs_ahead=more,
            candidates=candidates,
            held_out_documents_r2=left_out,
            bootstrap=ranges,
            masked=masked,
        )
    print(report(found))
    if out is not None:
        _write(out, found, [path.name for path in runs])


@contextlib.contextmanager
def _said() -> Iterator[Callable[[str], None]]:
    """What is being done, on a terminal; nothing in a pipe."""
    from tqdm import tqdm

    with tqdm(bar_format="{desc} ({elapsed})", leave=False, disable=None) as bar:
        yield bar.set_description_str


def _write(out: Path, found: Findings, names: list[str]) -> None:
    import json

    from bridge.present.fit_page import write_html
    from bridge.present.picture import plot
    from bridge.present.predictions import plot_predictions
    from bridge.present.record import to_json
    from toymodel.base.files import atomic_write

    written = ["fit.json", "fit.png", "fit.html"]
    with atomic_write(out / "fit.json", "w") as file:
        json.dump(to_json(found) | {"runs": names}, file, indent=2, allow_nan=False)
        file.write("\n")
    with atomic_write(out / "fit.png") as file:
        plot(found).savefig(file, format="png")
    if found.predictions:
        written.append("predictions.png")
        with atomic_write(out / "predictions.png") as file:
            plot_predictions(found.predictions).savefig(file, format="png")
    write_html(out / "fit.html", found)
    print()
    for name in written:
        print(f"wrote {out / name}")


COMMANDS: dict[str, Callable[..., None]] = {"": fit_command}
