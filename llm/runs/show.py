"""Run folders in words: what was run, how far it is, and what came out."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llm.config import RunConfig, varied
from llm.runs.finished import Run
from llm.runs.folder import RunFolder
from llm.runs.manifest import doubts
from llm.tasks.order import episode_order
from toymodel.base.errors import InputError
from toymodel.base.words import columns, either, nearest_few
from toymodel.measures.lag import lag_profile
from toymodel.measures.losses import LossMatrix
from toymodel.measures.online import backward_transfer, online_loss
from toymodel.measures.recovery import RecoveryScore, recovery_scores
from toymodel.measures.schedules import each_once

__all__ = ["episodes_done", "show_any", "show_run", "state", "table"]


def show_any(path: str | os.PathLike[str]) -> str:
    """A run folder, or the table of a folder of run folders.

    Raises:
        InputError: for a path that is neither.
    """
    where = Path(path)
    if (where / "config.json").is_file():
        return show_run(where)
    inside = sorted(where.glob("*/config.json"))
    if not inside:
        # A file of a run, a folder further down, or a name that is nearly one.
        around = [
            file.parent for file in where.parent.glob("config.json" if where.is_file() else "*/config.json")
        ]
        further = sorted({str(file.parents[1]) for file in where.glob("*/*/config.json")})
        near = further[:1] or nearest_few(str(where), sorted(map(str, around)), 1)
        raise InputError(
            f"there is no run in {str(where)!r}",
            expected="a run folder (with config.json), or a folder of them",
            fix=either(f"show_any({near[0]!r})", f"reawaken llm show {near[0]}")
            if near
            else either(f"llm.run(config, {str(where)!r})", f"reawaken llm run --out {where}")
            + " starts one",
        )
    configs = [RunFolder(file.parent).read_config() for file in inside]
    return table(configs, where, [file.parent.name for file in inside])


def show_run(path: str | os.PathLike[str]) -> str:
    """One run: settings that are not the defaults, state, manifest, recovery scores and probes."""
    folder = RunFolder(path)
    config, manifest = folder.read_config(), folder.read_manifest()
    default, values = RunConfig().to_json(), config.to_json()
    changed = [f"{name}={_short(values[name])}" for name in values if values[name] != default[name]]
    episodes = config.num_documents * config.epochs
    lines = [f"run       {folder.path}  ({config.id})", f"settings  {', '.join(changed) or 'the defaults'}"]
    if folder.finished:
        lines.append(f"state     finished {manifest.get('finished', '')}: {episodes} episodes".rstrip())
    elif (episode := manifest.get("diverged")) is not None:
        lines.append(
            f"state     diverged: no longer finite after episode {episode} of {episodes}; "
            f"lr={config.lr / 3:.1g} in another folder"
        )
    else:
        done, loss = _progress(folder)
        more = f", mean loss {loss:.4g}" if loss is not None else ""
        lines.append(f"state     unfinished: {done} of {episodes} episodes{more}; the same command goes on")
    run = Run.load(path) if folder.finished else None
    lines += _facts(config, manifest, None if run is None else float(run.losses.values[0].mean()))
    if run is not None:
        lines += _scores(run.losses)
        if run.losses.epochs > 1:
            profile = lag_profile(run.losses)
            won_back = f"{profile.recovered:.3f} of what is forgotten, won back before a return"
            lines.append(f"by lag    {profile.reason or won_back}")
        first, last = run.losses.values[0].mean(), run.losses.values[-1].mean()
        lines.append(f"losses    mean {first:.4g} before, {last:.4g} after training")
    elif matrix := _whole_epochs(folder, config):
        lines += _scores(matrix)
    probes = sorted(file.stem for file in (folder.path / "probes").glob("*.npz"))
    if config.probes:
        missing = [name for name in config.probes if name not in probes]
        note = f" (to come: {', '.join(missing)})" if missing else ""
        lines.append(f"probes    {', '.join(probes) or 'none yet'}{note}")
    return "\n".join(lines)


def table(
    configs: Sequence[RunConfig], root: str | os.PathLike[str], names: Sequence[str] | None = None
) -> str:
    """Many runs: folder, the settings in which they differ, state, and the last recovery score.

    Args:
        configs: the runs.
        root: the folder of their folders.
        names: of the folders; the configurations' ids if not given.
    """
    fields = varied(configs)
    rows = [["run", *fields, "state", "recovery"]]
    for config, name in zip(configs, names or [c.id for c in configs], strict=True):
        values = config.to_json()
        state, score = _state(RunFolder(Path(root) / name), config)
        rows.append([name, *(_short(values[field]) for field in fields), state, score])
    return "\n".join(columns(rows))


def _short(value: Any) -> str:
    """A setting on one line: an order of hundreds of episodes by its beginning."""
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def episodes_done(folder: RunFolder) -> int:
    """Episodes an unfinished run has logged."""
    return _progress(folder)[0]


def state(folder: RunFolder) -> str:
    """How far a run is, in words."""
    return _state(folder, folder.read_config())[0]


def _state(folder: RunFolder, config: RunConfig) -> tuple[str, str]:
    if folder.finished:
        scores = [score for score in recovery_scores(LossMatrix.load(folder.path)) if score]
        return "finished", f"{scores[-1].value:.3f}" if scores else "no score"
    if not (folder.path / "config.json").is_file():
        return "new", ""
    if (episode := folder.diverged) is not None:
        return f"diverged after {episode} episodes", ""
    return f"{episodes_done(folder)} of {config.num_documents * config.epochs} episodes", ""


def _progress(folder: RunFolder) -> tuple[int, float | None]:
    """Episodes done and the mean loss after the last, by the log."""
    records = folder.read_log()
    return (records[-1]["episode"], records[-1]["mean_loss"]) if records else (0, None)


def _whole_epochs(folder: RunFolder, config: RunConfig) -> LossMatrix | None:
    """Losses of an unfinished run by its checkpoint, up to the last whole epoch; None before the second."""
    rows = folder.saved_rows()
    epochs = 0 if rows is None else (len(rows) - 1) // config.num_documents
    if rows is None or epochs < 2:
        return None
    return LossMatrix(rows[: 1 + epochs * config.num_documents], episode_order(config)[:epochs])


def _facts(config: RunConfig, manifest: dict[str, Any], before: float | None) -> list[str]:
    if not manifest:
        return []
    versions = ", ".join(f"{name} {number}" for name, number in manifest.get("versions", {}).items())
    model, tasks = manifest.get("model", {}), manifest.get("tasks", {})
    precision = manifest.get("precision", {})
    what = {"language": "documents", "image-modelling": "images", "classification": "batches"}[config.task]
    names, autocast = tasks.get("names", []), precision.get("autocast") or "none"
    execution = manifest.get("execution", "execution not recorded yet")
    if (together := manifest.get("together", 1)) > 1:
        execution += f", {together} runs side by side"
    source = f" ({manifest['weights']})" if "weights" in manifest else ""
    lines = [
        f"started   {manifest.get('started')} on {manifest.get('device')}, "
        f"{manifest.get('threads')} threads, {execution}"
        + "".join(f"; {manifest[part]}" for part in ("forward", "steps") if part in manifest),
        f"made with {versions}, commit {(manifest.get('git_commit') or 'unknown')[:12]}",
        f"precision matrix products {precision.get('matmul')}, autocast {autocast}",
        f"model     {model.get('parameters', math.nan):,} parameters, {model.get('trainable', math.nan):,} "
        f"trained, weights {model.get('sha256', '')[:12]}{source}, "
        f"revision {model.get('revision') or 'none'}",
        f"tasks     {len(names)} {what}, hash {tasks.get('sha256', '')[:12]}"
        + (f", {tasks.get('padded', 0)} padded" if config.task == "language" else ""),
    ]
    if stored := model.get("quantization"):
        counts = ", ".join(f"{count} {kind}" for kind, count in stored.items())
        lines.append(f"stored as {counts} tensors, read as float32")
    if config.task == "language":
        lines.append(f"tokenizer {tasks.get('tokenizer', 'not recorded')}")
    notes = [*tasks.get("notes", []), *doubts(config, manifest, before)]
    return [*lines, *(f"note      {note}" for note in notes)]


def _scores(losses: LossMatrix) -> list[str]:
    """Recovery, online loss and backward transfer, in columns by epoch."""
    scores = recovery_scores(losses)
    columns = range(1, max(losses.epochs, len(scores)) + 1)
    lines = ["epoch     " + "  ".join(f"{n:>5}" for n in columns)]
    # Where an epoch leaves documents out or repeats them, the n-th return is not that of epoch n.
    if each_once(losses.order) or not scores:
        lines += _recovery(scores) if scores else ["recovery  no score: it takes two epochs"]
    online, transfer = online_loss(losses), backward_transfer(losses)
    later = f"   mean of epochs 2 to {losses.epochs}: {online[1:].mean():.4g}" if losses.epochs > 1 else ""
    lines.append("online    " + "  ".join(f"{v:>5.2f}" for v in online) + later)
    lines.append(
        "transfer  "
        + "  ".join(f"{v:>+5.2f}" if np.isfinite(v) else "    -" for v in transfer)
        + "   to documents trained before"
    )
    if scores and not each_once(losses.order):
        lines += ["return    " + "  ".join(f"{n:>5}" for n in range(1, len(scores) + 1)), *_recovery(scores)]
    return lines


def _recovery(scores: Sequence[RecoveryScore]) -> list[str]:
    numbers = np.array([score.value for score in scores])
    cells = "  ".join(f"{value:.3f}" if np.isfinite(value) else "    -" for value in numbers)
    reasons = dict.fromkeys(score.reason for score in scores if not score)
    return [f"recovery  {cells}", *(f"          - {reason}" for reason in reasons)]
