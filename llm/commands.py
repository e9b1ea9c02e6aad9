"""``reawaken llm ...``: the language experiments from the command line.

Settings of a run are the fields of `RunConfig`; a preset gives them other defaults, and what is written on
the command line holds over both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import tyro

from llm.collect import collect
from llm.config import RunConfig
from llm.defaults import WithPreset
from llm.ignored import refuse_ignored_settings
from llm.launch.campaign.command import COMMANDS as CAMPAIGN
from llm.launch.sweeps import Launcher
from llm.presets import PRESETS, family, preset
from toymodel.base.arrays import save_arrays
from toymodel.base.errors import InputError
from toymodel.base.files import check_output
from toymodel.base.words import arg, args, columns

__all__ = ["COMMANDS", "NAMED"]


def _run(
    config: RunConfig,
    *,
    preset: str | None = None,
    out: Path | None = None,
    dry_run: bool = False,
    timed: bool = False,
    results: Path | None = None,
    tensorboard: bool = False,
    wandb: str | None = None,
    keep_weights: bool = False,
) -> None:
    """Train a network cyclically and record the losses in a run folder; go on where one was cut short.

    Args:
        config: what to run.
        preset: Settings to start from, of one of the paper's experiments (reawaken llm presets lists them);
            "embedded" if neither this nor --model is given, the paper's settings if --model is.
        out: The run folder. The same command on it resumes an unfinished run and shows a finished one.
        dry_run: Only say what it would cost: steps, evaluations, memory, disk and time. Writes nothing.
        timed: With --dry-run: execute a few gradient steps here to tell the time, rather than arithmetic.
        results: Also write the losses in the format of the authors' program.
        tensorboard: Log to tensorboard/ in the run folder.
        wandb: Log to this project of Weights & Biases.
        keep_weights: Keep the trained weights in the run folder, for probes later on (reawaken llm probe).
    """
    if dry_run:
        from llm.cost.estimate import estimate

        refuse_ignored_settings(config)
        print(estimate(config, timed=timed))
        print("nothing was written (--dry-run)")
        return
    if timed:
        raise InputError(
            arg("timed") + " without " + arg("dry_run"),
            expected="both, or neither",
            fix=args(dry_run=True, timed=True),
        )
    if out is None:
        raise InputError(
            "no run folder", expected=arg("out") + " with a new folder", fix=arg("out", "runs/first")
        )
    if results is not None:
        check_output(results, suffixes=(".npz",), name="results")
    from llm.runs.show import show_run
    from llm.runs.tracking import make_trackers
    from llm.training.loop import run

    trackers = make_trackers(tensorboard=tensorboard, wandb=wandb)
    done = run(config, out, progress=True, trackers=trackers, keep_weights=keep_weights)
    if results is not None:
        done.save_results(results)
    print(show_run(out))


def _presets(name: tyro.conf.Positional[str | None] = None) -> None:
    """List the presets, or show the settings of one.

    Args:
        name: Which preset, or family of presets; all of them if not given.
    """
    if name is None:
        rows = []
        for known in PRESETS.values():
            figure = f"Fig. {known.figure}" if known.figure[:1].isdigit() else known.figure
            note = "  (downloads)" if known.needs_download else ""
            rows.append((known.name, figure, known.varies + note))
        print(*columns(rows), sep="\n")
        print("\nNAME-random needs no download, NAME-embedded is scaled to a laptop; NAME shows the settings")
        return
    default = RunConfig().to_json()
    for member in family(name):
        print(f"{member.name}: {member.varies} ({member.label})")
        for field, value in member.config.to_json().items():
            if value != default[field]:
                print(f"  --{field.replace('_', '-')} {_words(value)}")


def _prefetch(config: RunConfig, *, preset: str | None = None) -> None:
    """Download what a run needs, so that it then works without network.

    Args:
        config: the run.
        preset: Settings of one of the paper's experiments.
    """
    from llm.prefetch import prefetch

    found = prefetch(config)
    for name, value in found.items():
        print(f"{name:<10}{value}")
    if not found:
        print("nothing to download: this run needs no network")


def _documents(
    config: RunConfig, *, preset: str | None = None, out: Path | None = None, news: str | None = None
) -> None:
    """List the documents of a run, in training order, with their tokens; or write a corpus into a file.

    Args:
        config: the run.
        preset: Settings of one of the paper's experiments.
        out: Write the embedded corpus for up to 200 documents (or --num-documents) to this .jsonl file, its
            tokenizer beside it. Other machines then train on the same tokens: --documents FILE --selection
            seed --tokenizer TOKENIZER.
        news: Write the long articles of this file (an article a line) instead; 'gensim' reads the Lee
            background corpus that the package gensim ships. With --tokenizer those of more than --context
            tokens; without, of that corpus, those of the recorded runs.
    """
    if out is not None:
        check_output(out, suffixes=(".jsonl",))
    if news is not None:
        from llm.data.news import write_news

        if out is None:
            raise InputError(
                arg("news", news) + " without " + arg("out"),
                expected="a .jsonl file to write to",
                fix=arg("out", "news.jsonl"),
            )
        print(write_news(news, out, config))
        return
    if out is not None:
        from llm.data.corpus import export_documents

        number = 200 if config.num_documents == RunConfig().num_documents else config.num_documents
        for file in export_documents(out, number):
            print(file)
        return
    if config.task != "language":
        from llm.vision.listing import list_images

        print(list_images(config))
        return
    from llm.data.documents import load_documents

    documents = load_documents(config)
    for number, (name, length) in enumerate(zip(documents.names, documents.lengths, strict=True)):
        kept = min(length, config.context)
        note = f", padded to {config.context}" if kept < config.context else ""
        print(f"{number:>4}  {name}  {kept} tokens{note}")
    how = {"seed": f"drawn by seed {config.seed}", "order": "taken in the order of their source"}
    print(f"documents {how[documents.origin['selection']]}")
    print(f"tokenizer {documents.origin['tokenizer']}")
    for note in documents.notes:
        print(f"note      {note}")
    print(f"tokens sha256 {documents.sha256}")


def _show(run: tyro.conf.Positional[Path]) -> None:
    """Show a run folder: settings, state, recovery scores and what was measured; or a sweep's folder.

    Args:
        run: The folder.
    """
    from llm.runs.show import show_any

    print(show_any(run))


def _probe(
    run: tyro.conf.Positional[Path],
    *,
    probes: tuple[Literal["gradients", "pairwise"], ...] = ("gradients", "pairwise"),
    probe_layer: str | None = None,
) -> None:
    """Measure gradients and pairwise recovery of a run that is over or was stopped, from its weights.

    Args:
        run: The run folder: of a finished run with --keep-weights, or of one with a checkpoint.
        probes: What to measure; the other probes need the whole training (run --probes).
        probe_layer: Whose gradients.
    """
    from llm.training.after_training import probe_run

    for file in probe_run(run, probes, probe_layer):
        print(file)


def _similarity(config: RunConfig, *, preset: str | None = None, out: Path) -> None:
    """Measure how similar a run's documents are before training: cosines of the gradients of their losses.

    Over all weights, or --probe-layer. reawaken toy order --gram FILE then chooses an order to train them in.

    Args:
        config: the run.
        preset: Settings of one of the paper's experiments.
        out: File for gram and cosines, .npz.
    """
    check_output(out, suffixes=(".npz",))
    from llm.training.before_training import initial_similarity, report

    found = initial_similarity(config)
    save_arrays(out, found)
    print(report(found), f"in {out}", sep="\n")


def _sweep(
    *,
    out: Path,
    presets: tuple[str, ...] = (),
    seeds: tuple[int, ...] = (),
    vary: tuple[str, ...] = (),
    launcher: Launcher = "inline",
    workers: int = 2,
    per_job: int = 1,
    together: int = 1,
    submitit: tuple[str, ...] = (),
    wait: bool = True,
    dry_run: bool = False,
) -> None:
    """Run many configurations, each in a folder of its own named by the configuration's hash.

    Finished runs are skipped and unfinished ones go on, so the same command continues a sweep.

    Args:
        out: The folder of the run folders.
        presets: Presets, or whole families of them, to start from; "embedded" if none.
        seeds: Seeds to run each with.
        vary: FIELD=VALUE,VALUE,... for a field of a run; several make every combination.
        launcher: One after the other here, in processes here, or as jobs of a cluster by submitit.
        workers: Processes at a time.
        per_job: Runs per process or job, one after the other.
        together: Runs of one shape side by side, to the same numbers: for networks that do not fill a GPU.
        submitit: Parameters of the jobs, NAME=VALUE, e.g. timeout_min=60 slurm_partition=gpu gpus_per_node=1.
        wait: Wait for submitted jobs.
        dry_run: Only list the runs, their states and the time they take.
    """
    from llm.launch.grid import expand, parse_grid
    from llm.launch.preview import preview
    from llm.launch.sweeps import sweep
    from llm.runs.show import table

    bases = [member.config for name in presets for member in family(name)] or [preset("embedded")]
    configs = expand(bases, seeds, parse_grid(vary))
    if dry_run:
        print(preview(configs, out, together))
        print("nothing was written (--dry-run)")
        return
    found = sweep(
        configs,
        out,
        launcher=launcher,
        workers=workers,
        per_job=per_job,
        together=together,
        parameters=_parameters(submitit),
        wait_for_jobs=wait,
    )
    print(table(configs, out))
    if failed := [outcome for outcome in found if outcome.state == "failed"]:
        raise OSError(f"{len(failed)} of {len(found)} runs failed; the first: {failed[0].message}")


def _parameters(items: Sequence[str]) -> dict[str, str | int]:
    found: dict[str, str | int] = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals:
            raise InputError(
                arg("submitit", item), expected="NAME=VALUE", fix=arg("submitit", "timeout_min=60")
            )
        found[name] = int(value) if value.lstrip("-").isdigit() else value
    return found


def _words(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


# What a sweep calls otherwise.
NAMED = {"preset": "presets"}

COMMANDS: dict[str, Callable[..., None] | WithPreset | dict[str, Callable[..., None]]] = {
    "run": WithPreset(_run),
    "presets": _presets,
    "prefetch": WithPreset(_prefetch),
    "documents": WithPreset(_documents),
    "show": _show,
    "probe": _probe,
    "similarity": WithPreset(_similarity),
    "sweep": _sweep,
    "collect": collect,
    "campaign": CAMPAIGN,
}
