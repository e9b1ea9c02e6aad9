"""``reawaken record``: train the small networks behind figures/recorded, and pack what they found.

Every family of presets in its small form, three seeds each. The sweep is resumable: what is finished is
skipped, and what is packed are the finished runs, however many there are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.studies import chosen, which_order
from toymodel.base.files import check_output_folder

if TYPE_CHECKING:
    from llm import RunConfig

__all__ = ["COMMANDS", "FAMILIES", "FITTED", "IMAGES", "configurations", "record"]

FAMILIES = (
    "fig1", "control", "fig8", "fig9", "fig17", "fig5-steps", "fig6", "fig3-width", "fig3-depth", "sec4",
    "fig2b", "fig5-context", "fig5-frozen", "fig13", "fig12", "fig15", "fig16a", "fig4-mask", "fig4-shift",
    "fig14", "fig5-documents", "fig18", "fig16b", "v2-online",
)  # fmt: skip
"""Families of presets that are recorded, the most telling first. Fig. 2a is missing: it needs Pythia's
trained weights."""

IMAGES = ("fig7b-embedded", "fig7a-embedded")
"""The same on images; their embedded form is the small one (fig7a-small is the smaller ImageGPT itself)."""

FITTED = ("fig1", "fig6", "fig5-steps")
"""Families to whose runs the toy is fitted too."""

# Documents from which on a run takes minutes rather than seconds.
_MANY = 100


def configurations(seeds: tuple[int, ...] = (0, 1, 2)) -> list[RunConfig]:
    """What is trained, in the order in which it is: seed by seed, long runs a seed later than the others.

    Members that differ in their probes alone are one run with all of these probes.
    """
    from llm import family

    probes: dict[RunConfig, dict[Any, None]] = {}
    for name in (*(f"{name}-small" for name in FAMILIES), *IMAGES):
        for member in family(name):
            bare = replace(member.config, probes=())
            probes.setdefault(bare, {}).update(dict.fromkeys(member.config.probes))
    every: list[Any] = [
        replace(bare, probes=tuple(found), seed=seed) for seed in seeds for bare, found in probes.items()
    ]
    return sorted(every, key=lambda c: seeds.index(c.seed) + 1.5 * (c.num_documents >= _MANY))


def configurations_of_orders(seeds: tuple[int, ...] = (0, 1, 2)) -> list[RunConfig]:
    """The runs of docs/predictions.md: the orders seed by seed, the two long ones, the controls of Fig. 9."""
    from llm import family

    return [
        replace(member.config, seed=seed)
        for name in ("orders-embedded", "crossing-embedded", "fig9-orders-small")
        for seed in seeds for member in family(name)
    ]  # fmt: skip


def record(
    runs: Path = Path("runs/recorded"),
    out: Path = Path("figures/recorded"),
    seeds: tuple[int, ...] = (0, 1, 2),
    workers: int = 2,
    train: bool = True,
    orders: bool = False,
    missing: bool = False,
) -> None:
    """Train the small networks behind the recorded results and pack what they found.

    The same command goes on where it was stopped.

    Args:
        runs: Folder of the run folders.
        out: Folder of the packed results.
        seeds: Seeds to run each configuration with.
        workers: Processes at a time, one thread each where there are as many as cores.
        train: With --no-train only pack what is finished.
        orders: The embedded network in the orders of docs/predictions.md, and in those that the toy chooses
            for it, and small ones that were resumed with other data, into folders of their own.
        missing: Train only what is not packed yet, and keep the rest as it is.
    """
    check_output_folder(out)
    check_output_folder(runs, name="runs")
    if not orders:
        _record(configurations(seeds), runs, out, workers, train, missing)
        return
    _record(configurations_of_orders(seeds), runs, out / "orders", workers, train, missing)
    place = out / "orders" / chosen.FOLDER
    choices = {one.seed: one for one in chosen.load_chosen(place)}
    for seed in seeds if train else ():
        if seed not in choices:
            print(f"choosing orders for seed {seed}")
            choices[seed] = chosen.choose(seed)
            place.mkdir(parents=True, exist_ok=True)
            chosen.save_chosen(place, [choices[key] for key in sorted(choices)])
    configs = [choices[s].config(kind) for s in seeds if s in choices for kind in chosen.KINDS]
    if configs:
        _record(configs, runs, place, workers, train, missing)
    _record(which_order.resumed(seeds), runs, out / "orders" / which_order.FOLDER, workers, train, missing)


def _record(
    configs: list[RunConfig], runs: Path, out: Path, workers: int, train: bool, missing: bool
) -> None:
    """Train what is to be trained, fit what is to be fitted, and pack all."""
    from figures.evidence.collection import Runs
    from figures.evidence.fits import fit_runs
    from figures.evidence.stored import pack, read_packed

    wanted = {config.id for config in configs}
    kept = [run for run in read_packed(out) if run.config.id in wanted] if missing else []
    new = [config for config in configs if config.id not in {run.config.id for run in kept}]
    if train and new:
        from llm.launch.sweeps import sweep

        # Short runs share a process: starting one takes as long as training the smallest.
        sweep(new, runs, launcher="processes", workers=workers)
    found = Runs.load(runs) if runs.is_dir() else Runs([])
    for name in FITTED:
        shown = found.family(name, "small")
        fit_runs(shown.runs if shown else [])
    kept += [run for run in found if run.config in set(new)]
    if kept:  # what was recorded before is not replaced by nothing
        pack(kept, out)
    print(f"{len(kept)} of {len(configs)} runs packed into {out}")


COMMANDS: dict[str, Callable[..., None]] = {"": record}
