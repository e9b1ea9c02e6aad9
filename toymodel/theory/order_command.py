"""``reawaken toy order``: the order in which similar tasks are best trained, before any is."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from toymodel.base.arrays import load_arrays
from toymodel.base.errors import InputError, defaults_of, refuse_ignored
from toymodel.base.files import atomic_write, check_output
from toymodel.base.numbers import whole
from toymodel.base.words import arg, args
from toymodel.moments import shares
from toymodel.tasks import random_tasks
from toymodel.theory.choosing import OrderChoice, check_gram, choose_order
from toymodel.theory.spectrum import growth

__all__ = ["order"]


def order(
    gram: Path | None = None,
    tasks: int = 8,
    dim: int = 20,
    share: float | None = None,
    slow: float | None = None,
    fast: float | None = None,
    inner_steps: int = 1,
    fast_rate: float = 1.0,
    epochs: int = 5,
    budget: int | None = None,
    objective: Literal["final", "online"] = "final",
    worst: bool = False,
    similarity_scale: float = 1.0,
    seed: int = 0,
    out: Path | None = None,
) -> None:
    """Find the fixed order of training that costs least in expectation, and say what it gains.

    Up to 8 tasks all orders are tried; beyond, the best that a local search finds is given. Train in it with
    reawaken llm run --order FILE, or reawaken toy run --order FILE.

    Args:
        gram: similarities of the tasks: a .npy, an .npz with gram or cosines (of reawaken llm similarity), or
            the folder of a run that has the probe gradients; random data if not given.
        tasks: number of random tasks.
        dim: their dimension; the smaller, the more they differ in similarity.
        share: slow step a = rate ||x||^2, 1/3 if nothing else is given.
        slow: slow share A of an episode, with --fast, in place of --share.
        fast: fast share B of an episode, with --slow.
        inner_steps: slow and fast steps per episode K, with --share.
        fast_rate: part eta of the fast step, with --share.
        epochs: epochs that the order is gone round.
        budget: episodes, in place of epochs.
        objective: expected loss of all tasks at the end, or of the task about to be trained, on the way.
        worst: find the order that costs most.
        similarity_scale: weight of what differs from the mean similarity; 0 for uniform similarity.
        seed: of random data and of the search.
        out: file for the order, .json or .npy.
    """
    if out is not None:
        check_output(out, suffixes=(".json", ".npy"))
    for name, value, least in (
        ("tasks", tasks, 2),
        ("dim", dim, 1),
        ("epochs", epochs, 1),
        ("seed", seed, 0),
    ):
        whole(name, value, least=least, fix=least)
    a, b = _shares(share, slow, fast, inner_steps, fast_rate)
    defaults = defaults_of(order)
    if gram is not None:
        refuse_ignored({"tasks": tasks, "dim": dim}, defaults, arg("gram"))
    if slow is not None:
        refuse_ignored(
            {"inner_steps": inner_steps, "fast_rate": fast_rate}, defaults, args(slow=slow, fast=fast)
        )
    if budget is not None:
        refuse_ignored({"epochs": epochs}, defaults, arg("budget", budget))
    G = random_tasks(tasks, dim, 1, seed=seed).gram if gram is None else read_gram(gram)
    G = _scaled(check_gram(G), similarity_scale)
    if (radius := growth(G, a, b)) > 1 + 1e-9:
        raise InputError(f"A = {a:.3g}, B = {b:.3g}: losses grow by {radius * radius:.3g} per epoch",
                         expected="shares inside the stability limit", fix=arg("share", 0.1))  # fmt: skip
    episodes = epochs * len(G) if budget is None else budget
    if episodes < 1:
        raise InputError(arg("budget", budget), expected="at least 1 episode", fix=arg("budget", len(G)))
    from tqdm import tqdm

    with tqdm(desc="orders", unit=" orders", delay=1, leave=False, disable=None) as bar:
        choice = choose_order(
            G, a, b, episodes, objective=objective, worst=worst, seed=seed, progress=bar.update
        )
    print(report(choice, episodes, worst))
    if out is not None:
        with atomic_write(out) as file:
            if out.suffix == ".npy":
                np.save(file, choice.order)
            else:
                file.write((json.dumps(choice.order.tolist()) + "\n").encode())
        print(f"order in {out}")


def _shares(
    share: float | None, slow: float | None, fast: float | None, inner_steps: int, fast_rate: float
) -> tuple[float, float]:
    if (slow is None) != (fast is None) or (slow is not None and share is not None):
        raise InputError(
            arg("slow") + ", " + arg("fast") + " and " + arg("share"),
            expected=arg("share") + ", or " + arg("slow") + " with " + arg("fast"),
            fix=args(slow=0.3, fast=0.5),
        )
    if slow is not None and fast is not None:
        return slow, fast
    step = 1 / 3 if share is None else share
    if not (math.isfinite(step) and step > 0) or inner_steps < 1 or not 0 < fast_rate <= 1:
        raise InputError(
            args(share=step, inner_steps=inner_steps, fast_rate=fast_rate),
            expected="a positive share, 1 step or more, 0 < fast rate <= 1",
            fix=arg("share", 0.333),
        )
    a, b = shares(step, fast_rate, inner_steps)
    return float(a), float(b)


def read_gram(path: Path) -> NDArray[np.float64]:
    """A Gram matrix or cosines from a file, or from the gradients probe of a run folder.

    Raises:
        InputError: for a path without one.
    """
    file = path / "probes" / "gradients.npz" if path.is_dir() else path
    if not file.is_file():
        fix = "check the path"
        if path.is_dir():
            fix = "reawaken llm similarity --out similarity.npz"
            if (path / "config.json").is_file():
                fix = f"reawaken llm probe {path} --probes gradients"
        raise InputError(f"there is no {str(file)!r}", fix=fix,
                         expected="a Gram matrix, or a run with the probe gradients")  # fmt: skip
    arrays = load_arrays(file)
    # A bare .npy comes under the name of a loss matrix.
    found = next((arrays[key] for key in ("gram", "cosines", "losses") if key in arrays), None)
    if found is None:
        raise InputError(f"{str(file)!r} has keys {sorted(arrays)}", expected="gram or cosines",
                         fix="numpy.save('gram.npy', x @ x.T)")  # fmt: skip
    if found.dtype.kind not in "fiu":
        raise InputError(f"a Gram matrix of {found.dtype}", expected="real numbers",
                         fix="gram.astype(float)")  # fmt: skip
    return np.asarray(found, dtype=np.float64)


def _scaled(gram: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """Cosines, with their differences from the mean times `scale`."""
    if not 0 <= scale < math.inf:
        raise InputError(arg("similarity_scale", scale), expected="0 or more", fix=arg("similarity_scale", 1))
    length = np.sqrt(np.diag(gram))
    cosines = gram / np.outer(length, length)
    if scale == 1:
        return cosines
    others = ~np.eye(len(gram), dtype=bool)
    mean = cosines[others].mean()
    cosines[others] = mean + scale * (cosines[others] - mean)
    return check_gram(cosines)


def report(choice: OrderChoice, episodes: int, worst: bool) -> str:
    """What was found, as text."""
    tasks, random = len(choice.order), choice.random
    kind = "mean loss of all tasks at the end" if choice.objective == "final" else "mean online loss"
    how = f"all {math.factorial(tasks):,} tried" if choice.exact else "the best that local search found"
    spread = choice.random_deviation / choice.random_mean if choice.random_mean > 0 else 0.0
    verdict = f"{abs(choice.gain):.1%} {'less' if choice.gain >= 0 else 'more'} than a random order"
    if abs(choice.gain) < 1e-9:
        verdict = "no order is better than another: the tasks are equally similar"
    return "\n".join([
        f"{tasks} tasks, {episodes} episodes; {kind}, per unit of a q's variance",
        f"{'worst' if worst else 'best'} order     {' '.join(map(str, choice.order))}   ({how})",
        f"expected       {choice.value:.4g}: {verdict}",
        f"random orders  {choice.random_mean:.4g}, standard deviation {spread:.1%} of it, "
        f"from {random[0]:.4g} to {random[-1]:.4g} ({len(random)} drawn)",
    ])  # fmt: skip
