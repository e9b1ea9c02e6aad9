"""``reawaken toy ...``: the toy model from the command line."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from toymodel.base.arrays import save_arrays
from toymodel.base.errors import InputError, defaults_of, refuse_ignored
from toymodel.base.files import check_output
from toymodel.base.numbers import whole
from toymodel.base.words import arg
from toymodel.theory.analyze import analyze
from toymodel.theory.order_command import order as choose

if TYPE_CHECKING:
    from toymodel.measures.losses import LossMatrix

__all__ = ["COMMANDS", "NAMED", "run", "sweep"]

Schedule = Literal[
    "cyclic",
    "shuffled-once",
    "reshuffled",
    "iid",
    "middle-shuffled",
    "locally-reversed",
    "palindrome",
    "spaced",
]  # the names of `toymodel.measures.schedules.SCHEDULES`; a test keeps the two alike


def run(
    *,
    tasks: int = 25,
    dim: int = 1000,
    embedding: int | None = None,
    map: str = "identity",
    target: Literal["uniform", "normal"] = "uniform",
    rate: float = 0.001,
    epochs: int = 7,
    inner_steps: int = 1,
    fast_rate: float = 1.0,
    schedule: Schedule = "cyclic",
    order: Path | None = None,
    noise: Literal["none", "mask", "replace", "gaussian"] = "none",
    noise_level: float = 0.1,
    engine: Literal["auto", "moment", "projected", "direct"] = "auto",
    unstable: Literal["error", "warn", "allow"] = "error",
    record: tuple[Literal["q", "w", "Z", "S", "P"], ...] = (),
    seed: int = 0,
    out: Path | None = None,
) -> None:
    """Train the toy model once; print its recovery scores and write its loss matrix.

    The defaults are the experiment of the paper's Fig. 10a, at a rate of 0.001: the 0.01 that its text gives
    lies past the stability limit and diverges (--rate 0.01 --unstable allow shows it). Fig. 10b is
    --map reflection --dim 100 --rate 0.01.

    Args:
        tasks: number of tasks T.
        dim: dimension N of the data.
        embedding: dimension M of the embedding; N if not given.
        map: what turns fast weights into targets, f_i: identity, reflection, affine, per-task, diagonal,
            orthogonal, linear, sinh-arcsinh, leaky, cubic or softsign.
        target: distribution of the targets y, U(-1, 1) or N(0, 1).
        rate: learning rate of the slow weights, alpha.
        epochs: number of epochs E.
        inner_steps: gradient steps per episode, K.
        fast_rate: part of the way that a fast step goes, eta in (0, 1].
        schedule: order of the tasks.
        order: a file with an order of your own in place of a schedule, .npy or .json: tasks counted from 0,
            shape (E, T), or (T,) for every epoch. It may leave tasks out of an epoch or repeat them.
        noise: what differs about the data in every episode: entries masked, replaced, or Gaussian noise.
        noise_level: probability of masking or replacing, or the standard deviation of the noise.
        engine: how to compute; all agree to rounding.
        unstable: what to do with a rate past the stability limit.
        record: trajectories to keep in the file besides the losses.
        seed: of the data, weights and targets, the schedule and the noise.
        out: file for the loss matrix (.npz).
    """
    settings = {k: v for k, v in locals().items() if isinstance(v, int | float | str)}
    from toymodel.base.memory import refuse_if_too_large
    from toymodel.measures.losses import LossMatrix
    from toymodel.measures.schedules import load_order
    from toymodel.measures.schedules import schedule as make_schedule
    from toymodel.simulate import simulate
    from toymodel.tasks import episode_noise, random_tasks

    for name, value, least, usual in (
        ("tasks", tasks, 2, 25), ("dim", dim, 1, 1000), ("embedding", embedding, 1, dim),
        ("epochs", epochs, 1, 7), ("inner_steps", inner_steps, 1, 1), ("seed", seed, 0, 0),
    ):  # fmt: skip
        if value is not None:
            whole(name, value, least=least, fix=usual)
    if record and out is None:
        raise InputError(
            arg("record") + " without " + arg("out"),
            expected="a file to keep trajectories in",
            fix=arg("out", "F.npz"),
        )
    if out is not None:
        check_output(out, suffixes=(".npz",))
    if order is not None and schedule != "cyclic":
        raise InputError(
            arg("order", order) + " with " + arg("schedule", schedule),
            expected="one of the two",
            fix="leave out " + arg("schedule", schedule),
        )
    if noise == "none":
        refuse_ignored({"noise_level": noise_level}, defaults_of(run), arg("noise", noise))
    # Losses, data, weights and targets, and the products of all pairs, of which a run holds some five.
    size = embedding or dim
    entries = (1 + epochs * tasks) * tasks + (tasks + size) * (dim + size) + 5 * (tasks + 1) ** 2
    refuse_if_too_large(
        8 * entries,
        f"{tasks} tasks of dimension {dim} through {epochs} epochs",
        "fewer " + arg("tasks") + " or " + arg("epochs") + ", or a smaller " + arg("dim"),
    )
    problem = random_tasks(tasks, dim, embedding, seed=seed, target=target)
    kind = schedule if order is None else load_order(order)
    trained = make_schedule(kind, tasks, epochs, seed)
    disturbed = (
        None if noise == "none" else episode_noise(problem, trained, noise, noise_level, seed=seed + 1)
    )
    finished = simulate(
        problem, map, rate=rate, epochs=epochs, inner_steps=inner_steps, fast_rate=fast_rate, engine=engine,
        order=trained, noise=disturbed, record=record, unstable=unstable,
    )  # fmt: skip
    losses = LossMatrix(finished.losses.values, finished.losses.order, {"toy": settings})
    print(f"{tasks} tasks, map {map}, {epochs} epochs, engine {finished.engine}: {finished.status}")
    print(score_table(losses))
    if out is not None:
        save_arrays(out, losses.to_arrays() | dict(finished.trajectories))
        print(f"losses in {out}")


def score_table(losses: LossMatrix) -> str:
    """Recovery scores, with the three mean losses that they come from, then online loss and transfer."""
    from toymodel.measures.online import backward_transfer, online_loss
    from toymodel.measures.recovery import intervals, recovery_scores
    from toymodel.measures.schedules import each_once

    scores, whole = recovery_scores(losses), each_once(losses.order)
    # Where an epoch leaves tasks out or repeats them, the n-th return of a task is not that of epoch n.
    lines, name = [], "epoch" if whole else "return"
    if scores:
        lines.append(f"{name:>6}  {'after':>10}  {'peak':>10}  {'before':>10}  recovery score")
    else:
        lines.append("one epoch: no recovery score before a second visit")
    for n, score in enumerate(scores, start=1):
        part = intervals(losses, n)
        means = (part.after.mean(), part.peak.mean(), part.before.mean())
        few = "" if whole else f"   (of {len(part.task)} tasks)"
        lines.append(f"{n:>6}  " + "  ".join(f"{m:>10.4g}" for m in means) + f"  {score}{few}")
    # Without epochs in which every task comes once these are stretches of T episodes, named by their last.
    name, each = ("epoch", 1) if whole else ("episode", losses.tasks)
    lines.append(f"{name:>7} {'online':>10}  {'at its end':>10}  backward transfer")
    ends = losses.values[losses.tasks :: losses.tasks].mean(1)
    for n, row in enumerate(zip(online_loss(losses), ends, backward_transfer(losses), strict=True), start=1):
        transfer = f"{row[2]:>+17.4g}" if math.isfinite(row[2]) else f"{'-':>17}"
        lines.append(f"{n * each:>7} {row[0]:>10.4g}  {row[1]:>10.4g}  {transfer}")
    return "\n".join(lines)


def sweep(
    *,
    tasks: tuple[str, ...] = ("25",),
    dim: tuple[str, ...] = ("1000",),
    embedding: tuple[str, ...] = (),
    rate: tuple[str, ...] = ("0.001",),
    inner_steps: tuple[str, ...] = ("1",),
    fast_rate: tuple[str, ...] = ("1",),
    slow_share: tuple[str, ...] = (),
    fast_share: tuple[str, ...] = (),
    similarity: tuple[str, ...] = ("0",),
    map: tuple[str, ...] = ("identity",),
    seed: tuple[str, ...] = ("0",),
    kind: Literal["expected", "sampled", "simulated"] = "expected",
    samples: bool = False,
    epochs: int = 7,
    record: tuple[Literal["recovery", "peaks", "final", "losses"], ...] = ("recovery",),
    threads: int | None = None,
    out: Path | None = None,
) -> None:
    """Run the toy model over a grid of parameters; print the result and write it as NetCDF.

    Values are numbers or ranges LOW:HIGH:COUNT, evenly spaced, both ends included: --rate 0.0001:0.003:30
    --similarity 0 0.2. Stopped, the same command goes on where it was.

    Args:
        tasks: numbers of tasks T.
        dim: dimensions N of the data.
        embedding: dimensions M; N if not given.
        rate: learning rates of the slow weights, alpha.
        inner_steps: gradient steps per episode, K.
        fast_rate: parts of the way that a fast step goes, eta in (0, 1].
        slow_share: slow shares A, which with --fast-share replace rate, inner steps and fast rate.
        fast_share: fast shares B.
        similarity: uniform similarities rho of the data.
        map: names of maps.
        seed: of sampled and simulated experiments.
        kind: exact expectations, experiments drawn in distribution, or simulations.
        samples: take the values together, one point for each, not as a grid.
        epochs: number of epochs E.
        record: what to keep of each point.
        threads: all cores if not given.
        out: NetCDF file (.nc).
    """
    from toymodel.sweeps.sweep import sweep as run_sweep

    if out is not None:
        check_output(out, suffixes=(".nc", ".nc4", ".h5"))

    given: dict[str, tuple[str, ...]] = {
        "tasks": tasks, "dimension": dim, "embedding": embedding, "rate": rate, "inner_steps": inner_steps,
        "fast_rate": fast_rate, "A": slow_share, "B": fast_share, "rho": similarity, "seed": seed,
    }  # fmt: skip
    parameters: dict[str, Sequence[float | str]] = {
        name: _numbers(name, texts) for name, texts in given.items() if texts
    } | {"map": map}
    single = {name: v[0] for name, v in parameters.items() if len(v) == 1}
    data = run_sweep(
        {**parameters, **single}, kind=kind, samples=samples, epochs=epochs, record=record, path=out,
        threads=threads, progress=True,
    )  # fmt: skip
    print(data)
    if out is not None:
        print(f"sweep in {out}")


_WHOLE = ("tasks", "dimension", "embedding", "inner_steps", "seed")


def _numbers(name: str, texts: tuple[str, ...]) -> list[float | int]:
    """Numbers and ranges LOW:HIGH:COUNT."""
    import numpy as np

    found: list[float | int] = []
    for text in texts:
        try:
            if ":" in text:
                low, high, count = text.split(":")
                found += np.linspace(float(low), float(high), int(count)).tolist()
            else:
                found.append(float(text))
        except ValueError:
            raise InputError(
                f"{name} {text!r}", expected="a number or LOW:HIGH:COUNT", fix="0.001:0.003:20"
            ) from None
    if name in _WHOLE:
        if any(not math.isfinite(v) or v != int(v) for v in found):
            raise InputError(f"{name} {' '.join(texts)}", expected="whole numbers", fix="1 2 3 or 1:9:9")
        found = [int(v) for v in found]
    return found


# Arguments of the package that are called otherwise as flags: its errors speak of these on the command line.
NAMED = {"dimension": "dim", "rho": "similarity", "A": "slow-share", "B": "fast-share"}

COMMANDS: dict[str, Callable[..., None]] = {"run": run, "sweep": sweep, "analyze": analyze, "order": choose}
