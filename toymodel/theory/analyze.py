"""``reawaken toy analyze``: an `Analysis` as text for a terminal."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from toymodel.base.errors import InputError, defaults_of, refuse_ignored
from toymodel.base.memory import refuse_if_too_large
from toymodel.base.words import arg, args, columns
from toymodel.moments import shares
from toymodel.tasks import random_tasks
from toymodel.theory.analysis import Analysis, Progress, analyze_data, analyze_shares
from toymodel.theory.ring import slow_step_limit, spread, transport, turns_per_epoch

__all__ = ["analyze", "table"]


def table(analysis: Analysis, modes: int = 6) -> str:
    """The analysis as text for a terminal.

    Args:
        analysis: what to show.
        modes: pairs of the spectrum listed.
    """
    one = analysis
    rows: list[tuple[str, str]] = [
        ("tasks T", f"{one.tasks}"),
        ("slow share A", f"{one.slow:.6g}"),
        ("fast share B", f"{one.fast:.6g}"),
        ("left unfitted 1 - A - B", f"{_zero(1 - one.slow - one.fast):.6g}"),
    ]
    exact = ""
    if one.uneven:
        rows.append(("similarity", f"{one.similarity:.4g}, standard deviation {one.uneven:.2g}"))
        exact = "   (for its mean similarity)"
    elif one.similarity:
        rows.append(("similarity", f"{one.similarity:.6g}, the same between all tasks"))
    if one.similarity:
        rows.append(("orthogonal data with" + (" about" if one.uneven else "") + " these losses",
                     f"A' = {one.ring_slow:.6g}, B' = {one.ring_fast:.6g}"))  # fmt: skip
    rows += [("", ""), ("stability", _verdict(one))]
    if one.margin is not None:
        rows.append(("margin (A', 2 - A' - B' or B' + A'/T)", f"{_zero(one.margin):.4g}"))
    if one.size:
        rows.append((one.size, f"{one.value:.6g}, limit {_infinite(one.limit)}"))
    if one.stable:
        a, b = one.ring_slow, one.ring_fast
        lead = one.asymptote
        rows += [
            ("losses per epoch, in the end", f"x {lead.decay:.6g}"),
            ("", ""),
            ("transport A/B", f"{transport(a, b):.4g} positions per epoch; "
             f"{transport(a, b, one.tasks):.4g} on this ring{exact}"),
            ("spread A(2-A-B)/B^2", f"{spread(a, b):.4g} positions^2 per epoch; "
             f"{spread(a, b, one.tasks):.4g} on this ring{exact}"),
            ("turns of w per epoch", f"{turns_per_epoch(a, b, one.tasks):.4g}{exact}"),
            ("", ""),
            ("asymptotic recovery score", str(lead.score)),
        ]  # fmt: skip
        if lead.score:
            rows += [
                ("   swings as the ring turns", f"{lead.low:.4g} to {lead.high:.4g}"),
                (f"   within {one.tolerance:g} of it", _arrival(one)),
                (
                    f"   other modes' share x {one.tolerance:g}",
                    f"every {lead.epochs(one.tolerance):.3g} epochs",
                ),
                ("   on the way", "  ".join(f"{n}: {one.course[n - 1]}" for n in _stations(len(one.course)))),
            ]
    return "\n".join([*columns(rows), "", *_order_lines(one), *_spectrum_lines(one, modes)])


def _order_lines(one: Analysis) -> list[str]:
    """Orders side by side."""
    if not one.courses:
        return []
    epochs = len(one.courses[0].end)
    about = ", for the mean similarity" if one.uneven else ""
    lines = [
        f"orders, expected losses per unit of a q's variance (w = 0 at first){about}",
        f"   {'order':<12}{f'online, 2-{epochs}':>13}{f'end of {epochs}':>10}{'per epoch':>12}{'turn':>11}",
    ]
    for course in one.courses:
        grows = f"x {one.growth[course.order]:.4f}" if course.order in one.growth else ""
        turn = f"{one.turning[course.order]:.4f}" if course.order in one.turning else "none"
        online = course.online_after_first
        lines.append(f"   {course.order:<12}{online:>13.4f}{course.end[-1]:>10.4f}{grows:>12}{turn:>11}")
    fixed, drawn = one.courses[0].online, one.courses[2].online
    if one.crossing is not None:
        said = f"a fixed order's online loss is below a reshuffled one's up to epoch {one.crossing:.2f}"
    else:
        said = f"online losses of a fixed and a reshuffled order don't cross ({fixed[-1] / drawn[-1]:.3g})"
    return [*lines, f"   {said}", ""]


def _verdict(one: Analysis) -> str:
    if one.stable:
        return f"stable (spectral radius of an epoch {abs(one.eigenvalues[0]):.6g})"
    return f"DIVERGES: losses grow by up to {abs(one.eigenvalues[0]) ** 2:.3g} per epoch"


def _arrival(one: Analysis) -> str:
    return f"from epoch {one.arrival}" if one.arrival else f"not within {len(one.course)} epochs"


def _stations(count: int) -> list[int]:
    return [n for n in (1, 2, 3, 4, 6, 10, 20, 50, 100, 200, 500) if n <= count]


def _spectrum_lines(one: Analysis, modes: int) -> list[str]:
    lines = [
        "spectrum of one epoch (consensus, 1, left out)",
        "   mode   |eigenvalue|   turn (positions)   losses x",
    ]
    shown = [v for v in one.eigenvalues if v.imag > -1e-12][:modes]
    for n, value in enumerate(shown, 1):
        # A turn by one T-th of the circle moves the first harmonic by one position.
        turn = -np.angle(value) * one.tasks / (2 * np.pi)
        lines.append(f"   {n:>4}   {abs(value):>12.6f}   {_zero(abs(turn)):>16.4f}   {abs(value) ** 2:>8.3g}")
    left = sum(v.imag > -1e-12 for v in one.eigenvalues) - len(shown)
    return [*lines, f"   and {left} more"] if left else lines


def _zero(value: float) -> float:
    return 0.0 if abs(value) < 1e-12 else value


def _infinite(value: float) -> str:
    return "none" if math.isinf(value) else f"{value:.6g}"


def analyze(
    tasks: int = 25,
    share: float | None = None,
    slow: float | None = None,
    fast: float | None = None,
    rate: float | None = None,
    dim: int = 1000,
    seed: int = 0,
    similarity: float = 0.0,
    inner_steps: int = 1,
    fast_rate: float = 1.0,
    tolerance: float = 0.01,
    modes: int = 6,
) -> None:
    """Print the spectrum, stability, transport and asymptotic recovery of the toy model.

    The problem is given in one of three ways: by the slow step a = rate ||x||^2 (--share), by both shares
    (--slow and --fast), or by a learning rate with the data of `reawaken toy run` (--rate, --dim, --seed).
    With none of them it is the paper's Fig. 10, a = 1/3.

    Args:
        tasks: number of tasks T.
        share: a = rate ||x||^2, the part of the residual that one slow step takes.
        slow: slow share A of an episode, with --fast.
        fast: fast share B of an episode, with --slow.
        rate: learning rate alpha of the slow weights, on data x ~ U(-1, 1).
        dim: dimension N of the data, with --rate.
        seed: of the data, with --rate.
        similarity: x_i.x_j / ||x||^2 between different tasks, with --share or with --slow and --fast.
        inner_steps: slow and fast steps per episode K, with --share or --rate.
        fast_rate: part eta of the fast step, with --share or --rate.
        tolerance: distance from the asymptotic recovery score that counts as having arrived.
        modes: pairs of the spectrum to list.
    """
    ways = {"share": share, "slow": slow, "fast": fast, "rate": rate}
    given = {name: value for name, value in ways.items() if value is not None}
    if not given:
        given = {"share": (share := 1 / 3)}
    if set(given) not in ({"share"}, {"slow", "fast"}, {"rate"}):
        raise InputError(
            "shares given by " + args(**given),
            expected=arg("share") + ", or " + arg("rate") + ", or " + arg("slow") + " with " + arg("fast"),
            fix=arg("share", 0.333),
        )
    if inner_steps < 1:
        raise InputError(arg("inner_steps", inner_steps), expected="at least 1", fix=arg("inner_steps", 1))
    if not 0 < fast_rate <= 1:
        raise InputError(arg("fast_rate", fast_rate), expected="0 < fast_rate <= 1", fix=arg("fast_rate", 1))
    for name, value in (("share", share), ("rate", rate)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise InputError(arg(name, value), expected="a positive number", fix=arg(name, 0.01))
    if tasks < 2 or dim < 1 or seed < 0:
        raise InputError(
            args(tasks=tasks, dim=dim, seed=seed),
            expected="2 tasks, dimension 1, seed 0 at least",
            fix=args(tasks=25, dim=1000, seed=0),
        )
    if rate is None:
        refuse_ignored({"dim": dim, "seed": seed}, defaults_of(analyze), args(**given))
    if slow is not None:
        idle = {"inner_steps": inner_steps, "fast_rate": fast_rate}
        refuse_ignored(idle, defaults_of(analyze), args(**given))
    # Eigenvectors, their inverse, and moments in a few copies.
    refuse_if_too_large(200 * (tasks + 1) ** 2, f"the spectrum of {tasks} tasks", "fewer " + arg("tasks"))
    with _said() as progress:
        common: dict[str, Any] = {"tolerance": tolerance, "progress": progress}
        if rate is not None:
            if similarity:
                raise InputError(
                    arg("similarity") + " with " + arg("rate"),
                    expected="similarity as the random data have it",
                    fix="use " + arg("share") + " with " + arg("similarity"),
                )
            gram = random_tasks(tasks, dim, 1, seed=seed).gram
            result = analyze_data(gram, rate, inner_steps=inner_steps, fast_rate=fast_rate, **common)
        elif share is not None:
            limit = slow_step_limit(tasks, similarity=similarity, fast_rate=fast_rate)
            a, b = (float(v) for v in shares(share, fast_rate, inner_steps))
            result = analyze_shares(tasks, a, b, similarity=similarity, value=share, limit=limit,
                                    size="slow step a = rate ||x||^2", **common)  # fmt: skip
        else:
            assert slow is not None
            assert fast is not None
            result = analyze_shares(tasks, slow, fast, similarity=similarity, **common)
    print(table(result, modes))


@contextlib.contextmanager
def _said() -> Iterator[Progress]:
    """What is being done, on a terminal and past the first second."""
    from tqdm import tqdm

    with tqdm(unit=" epochs", delay=1, leave=False, disable=None) as bar:

        def progress(what: str, epochs: int) -> None:
            bar.set_description(what)
            bar.update(epochs)

        yield progress
