"""The main job: a network's losses, the toy model fitted to them, one picture and one report."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge import Findings, FitResult, Forecast, find, fit, forecast, report, to_json
from figures.explorer.commands import write_explorer
from figures.explorer.shown import shown
from figures.pages.comparison import Comparison
from figures.pages.picture import draw
from figures.pages.report import write_report
from figures.style import png_bytes
from llm.config import RunConfig
from llm.presets import preset
from toymodel.base.errors import InputError
from toymodel.base.files import atomic_write, check_output_folder
from toymodel.base.words import arg
from toymodel.measures.losses import LossMatrix

__all__ = ["COMMANDS", "CompareResult", "compare"]

_DEFAULT = preset("embedded")


@dataclass(frozen=True)
class CompareResult:
    """What a comparison found and wrote.

    Attributes:
        comparison: everything that picture and report show.
        fit: the toy model fitted to all epochs (of the mean over seeds).
        forecast: the prediction of the last epochs from the others.
        findings: what the two say, computed once for picture, report and file.
        text: the fit report as the terminal shows it.
        written: the files written.
    """

    comparison: Comparison
    fit: FitResult
    forecast: Forecast
    findings: Findings
    text: str
    written: tuple[Path, ...]


def compare(
    config: RunConfig = _DEFAULT,
    *,
    run: Sequence[str | Path] = (),
    seeds: int = 1,
    out: str | Path = "out",
    progress: bool = False,
) -> CompareResult:
    """Train networks (or take their losses), fit the toy model, draw and report.

    Args:
        config: the network; used unless `run` is given.
        run: finished runs to take instead: run folders, loss matrices (.npz, .npy) or the authors' results,
            all of one shape and order; several are shown as seeds of one experiment.
        seeds: networks to train, with seeds ``config.seed``, ``config.seed + 1``, ...
        out: folder for ``network-SEED/`` (run folders, resumed if cut short), ``comparison.png``,
            ``report.html``, ``fit.json`` and ``explorer.html``.
        progress: show progress bars on standard error.

    Raises:
        InputError: for settings or losses that cannot be used.
    """
    if seeds < 1:
        raise InputError(arg("seeds", seeds), expected="at least 1 network", fix=arg("seeds", 1))
    if run and (seeds != 1 or config != _DEFAULT):
        changed = [] if config == _DEFAULT else config.differences(_DEFAULT)
        raise InputError(
            arg("run")
            + " together with settings of a new network ("
            + ("; ".join(changed) or arg("seeds", seeds))
            + ")",
            expected="either finished runs or a network to train",
            fix="leave out " + arg("run") + " to train, or the other flags to use the run as it is",
        )
    out = Path(out)
    check_output_folder(out)
    networks, facts = _take(run) if run else _train(config, seeds, out, progress)
    # The toy's losses are expectations, so it is fitted to the mean over seeds.
    mean = LossMatrix.mean(networks)
    # Three starts end where six do on every run of the presets that was tried.
    fitted, ahead = fit(mean, starts=3), forecast(mean)
    found = find(fitted, ahead)
    comparison = _comparison(networks, found, ahead, facts)
    text = report(found)
    written = _write(out, comparison, fitted, text, to_json(found))
    return CompareResult(comparison, fitted, ahead, found, text, written)


def _train(
    config: RunConfig, seeds: int, out: Path, progress: bool
) -> tuple[list[LossMatrix], dict[str, str]]:
    from llm.training.loop import run as train

    runs = [
        train(dataclasses.replace(config, seed=seed), out / f"network-{seed}", progress=progress)
        for seed in range(config.seed, config.seed + seeds)
    ]
    facts = _facts_of_config(config, seeds) | _facts_of_manifest(runs[0].manifest)
    return [r.losses for r in runs], facts


def _take(run: Sequence[str | Path]) -> tuple[list[LossMatrix], dict[str, str]]:
    networks = [LossMatrix.load(path) for path in run]
    first = Path(run[0])
    facts = {"losses from": ", ".join(Path(path).name for path in run)}
    if (first / "config.json").is_file():
        from llm.training.loop import Run

        loaded = Run.load(first)
        facts |= _facts_of_config(loaded.config, len(run)) | _facts_of_manifest(loaded.manifest)
    return networks, facts


def _comparison(
    networks: Sequence[LossMatrix], found: Findings, ahead: Forecast, facts: dict[str, str]
) -> Comparison:
    return Comparison(
        networks=networks,
        toy=found.fit.prediction,
        r2=found.fit.r2,
        toy_noisy=[row.toy_with_noise for row in found.recovery],
        held_out=ahead.prediction,
        fitted_epochs=ahead.fitted_epochs or None,
        held_out_r2=ahead.r2,
        held_out_r2_alone=ahead.r2_mechanism,
        held_out_reason=ahead.reason,
        parameters=found.fit.parameters,
        nulls=ahead.nulls,
        facts=facts,
    )


def _facts_of_config(config: RunConfig, seeds: int) -> dict[str, str]:
    kind = "random initial weights" if config.weights == "random" else "pretrained weights"
    reset = ", state reset every episode" if config.optimizer != "sgd" and config.reset_optimizer else ""
    last = config.seed + seeds - 1
    return {
        "model": f"{config.model}, {kind}",
        "documents": f"{config.num_documents} of {config.documents}, {config.context} tokens each",
        "schedule": f"{config.schedule}, {config.epochs} epochs, {config.steps} steps per episode",
        "optimizer": f"{config.optimizer}, learning rate {config.lr:g}{reset}",
        "seeds": str(config.seed) if seeds == 1 else f"{config.seed} to {last}",
    }


def _facts_of_manifest(manifest: dict[str, Any]) -> dict[str, str]:
    facts = {}
    if "device" in manifest:
        facts["device"] = str(manifest["device"])
    if "versions" in manifest:
        facts["versions"] = ", ".join(f"{name} {version}" for name, version in manifest["versions"].items())
    padded = manifest.get("tasks", {}).get("padded")
    if padded:
        facts["padded documents"] = f"{padded} were shorter than the context"
    for name in ("started", "finished"):
        if name in manifest:
            facts[name] = str(manifest[name])
    return facts


def _write(
    out: Path, comparison: Comparison, fitted: FitResult, text: str, record: dict[str, Any]
) -> tuple[Path, ...]:
    picture = png_bytes(draw(comparison))
    files = (out / "comparison.png", out / "report.html", out / "fit.json", out / "explorer.html")
    with atomic_write(files[0]) as file:
        file.write(picture)
    write_report(files[1], comparison, picture, text, explorer=files[3].name)
    with atomic_write(files[2], "w") as file:
        json.dump(record, file, indent=2, allow_nan=False)
        file.write("\n")
    _write_explorer(files[3], comparison, fitted)
    return files


def _write_explorer(path: Path, comparison: Comparison, fitted: FitResult) -> None:
    """The explorer with this network in it, the mean over seeds as in the picture."""
    facts = ". ".join(comparison.facts[name] for name in ("model", "schedule") if name in comparison.facts)
    seeds = f"Mean over {comparison.seeds} seeds. " if comparison.seeds > 1 else ""
    words = f"{seeds}{facts}." if facts else seeds.strip()
    write_explorer(path, [shown("this network", fitted.data, fitted, group="This comparison", facts=words)])


def _command(
    config: RunConfig = _DEFAULT, *, run: tuple[Path, ...] = (), seeds: int = 1, out: Path = Path("out")
) -> None:
    """Train a network, fit the toy model to its losses, and show both side by side.

    Args:
        config: The network to train.
        run: Finished runs to take instead of training: run folders, .npz, .npy or the authors' results.
        seeds: Networks to train; the picture shades their deviation.
        out: Folder for the run folders, comparison.png, report.html, fit.json and explorer.html.
    """
    result = compare(config, run=run, seeds=seeds, out=out, progress=True)
    print(result.text)
    print()
    for path in result.written:
        print(f"wrote {path}")


COMMANDS: dict[str, Callable[..., None]] = {"": _command}
