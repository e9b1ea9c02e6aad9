"""``reawaken toy analyze``: what theory says of a problem, without simulating it (docs/theory.md)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toymodel.base.errors import InputError
from toymodel.measures.recovery import RecoveryScore
from toymodel.moments import shares
from toymodel.tasks import random_tasks
from toymodel.theory.asymptote import Asymptote, asymptotics, epochs_until, recovery_course
from toymodel.theory.ring import (
    gauge_shares,
    slow_step_limit,
    spread,
    stability_margin,
    transport,
    turns_per_epoch,
)
from toymodel.theory.spectrum import coupling, epoch_spectrum, rate_limit

__all__ = ["Analysis", "analyze", "analyze_data", "analyze_shares", "table"]

# The course of the scores is followed this far to find the epoch from which it stays near its limit.
_LONGEST = 1000


@dataclass(frozen=True)
class Analysis:
    """Everything that theory says of one problem.

    Attributes:
        tasks: T.
        slow: slow share A; the mean over tasks where they differ.
        fast: fast share B, likewise.
        similarity: mean of G_ij/G_ii between different tasks.
        uneven: standard deviation of G_ij/G_ii between different tasks; 0 where the closed forms are exact.
        ring_slow: A of the orthogonal problem with the same losses (`gauge_shares`).
        ring_fast: B of it.
        eigenvalues: of one epoch, consensus left out, largest modulus first, shape ``(T,)``.
        margin: distance to the edge of the stability region, negative outside; None for uneven similarity.
        size: what `limit` limits, ``"rate"`` or ``"a = rate ||x||^2"``; empty where only shares were given.
        value: its value.
        limit: its largest stable value.
        asymptote: the recovery score approached.
        course: scores of epochs 1, 2, ... of the expected losses from independent q.
        tolerance: what counts as having arrived.
    """

    tasks: int
    slow: float
    fast: float
    similarity: float
    uneven: float
    ring_slow: float
    ring_fast: float
    eigenvalues: NDArray[np.complex128]
    margin: float | None
    size: str
    value: float
    limit: float
    asymptote: Asymptote
    course: list[RecoveryScore]
    tolerance: float

    @property
    def stable(self) -> bool:
        """Whether no loss grows without bound."""
        return bool(abs(self.eigenvalues[0]) <= 1 + 1e-9)

    @property
    def arrival(self) -> int | None:
        """First epoch from which the score stays within the tolerance of its limit; None if not found."""
        return epochs_until(self.course, self.asymptote.score.value, self.tolerance)


def analyze_shares(
    tasks: int,
    slow: float,
    fast: float,
    *,
    similarity: float = 0.0,
    tolerance: float = 0.01,
    size: str = "",
    value: float = math.nan,
    limit: float = math.nan,
) -> Analysis:
    """The theory of T uniformly similar tasks from the shares A and B.

    Args:
        tasks: T.
        slow: A.
        fast: B.
        similarity: rho = G_ij/G_ii between different tasks.
        tolerance: distance from the asymptotic recovery score that counts as having arrived.
        size: what the shares came from, for the report.
        value: its value.
        limit: its largest stable value.
    """
    slow_step_limit(tasks, similarity=similarity)  # judges both
    gram = (1 - similarity) * np.eye(tasks) + similarity
    return _analysis(gram, slow, fast, tolerance, size, value, limit)


def analyze_data(
    gram: NDArray[np.float64],
    rate: float,
    *,
    inner_steps: int = 1,
    fast_rate: float = 1.0,
    tolerance: float = 0.01,
) -> Analysis:
    """The theory for any Gram matrix and learning rate.

    Args:
        gram: G, shape ``(T, T)``.
        rate: alpha.
        inner_steps: K.
        fast_rate: eta.
        tolerance: as `analyze_shares`.
    """
    limit = rate_limit(gram, inner_steps=inner_steps, fast_rate=fast_rate)
    a, b = shares(rate * np.diag(gram), fast_rate, inner_steps)
    return _analysis(np.asarray(gram), a, b, tolerance, "rate", rate, limit)


def _analysis(
    gram: NDArray[np.float64],
    slow: float | NDArray[np.float64],
    fast: float | NDArray[np.float64],
    tolerance: float,
    size: str,
    value: float,
    limit: float,
) -> Analysis:
    tasks = len(coupling(gram, slow, fast))  # judges all three
    ratio = gram / np.diag(gram)[:, None]
    others = ratio[~np.eye(tasks, dtype=bool)]
    similarity, uneven = float(others.mean()), float(others.std())
    a, b = float(np.mean(slow)), float(np.mean(fast))
    ring_a, ring_b = (float(v) for v in gauge_shares(a, b, similarity))
    limit_score = asymptotics(gram, slow, fast)
    even = uneven < 1e-12 and np.ptp(slow) < 1e-12 and np.ptp(fast) < 1e-12
    needed = limit_score.epochs(tolerance)
    # Twice the estimate for the modes, and some: enough to see the score stay where it has arrived.
    epochs = int(min(_LONGEST, 10 + 3 * needed)) if math.isfinite(needed) else 10
    return Analysis(
        tasks=tasks,
        slow=a,
        fast=b,
        similarity=similarity,
        uneven=0.0 if even else uneven,
        ring_slow=ring_a,
        ring_fast=ring_b,
        eigenvalues=epoch_spectrum(gram, slow, fast),
        margin=float(stability_margin(ring_a, ring_b, tasks)) if even else None,
        size=size,
        value=value,
        limit=limit,
        asymptote=limit_score,
        course=recovery_course(gram, slow, fast, epochs) if limit_score.score else [],
        tolerance=tolerance,
    )


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
    width = max(len(name) for name, _ in rows) + 2
    lines = [f"{name:<{width}}{text}".rstrip() for name, text in rows]
    return "\n".join([*lines, "", *_spectrum_lines(one, modes)])


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
    ways = {"--share": share, "--slow and --fast": slow if slow is not None else fast, "--rate": rate}
    given = [name for name, value in ways.items() if value is not None]
    if not given:
        share, given = 1 / 3, ["--share"]
    problem = f"shares given by {' and by '.join(given)}"
    if given == ["--slow and --fast"] and (slow is None or fast is None):
        given, problem = [], "one of --slow and --fast without the other"
    if len(given) != 1:
        raise InputError(problem, expected="one of --share, --rate, or --slow with --fast",
                         fix="reawaken toy analyze --tasks 25 --share 0.333")  # fmt: skip
    if inner_steps < 1:
        raise InputError(f"inner_steps={inner_steps}", expected="at least 1", fix="--inner-steps 1")
    if not 0 < fast_rate <= 1:
        raise InputError(f"fast_rate={fast_rate}", expected="0 < fast_rate <= 1", fix="--fast-rate 1")
    for name, value in (("share", share), ("rate", rate)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise InputError(f"{name}={value}", expected="a positive number", fix=f"--{name} 0.01")
    if rate is not None:
        if similarity:
            raise InputError("--similarity with --rate", expected="similarity as the random data have it",
                             fix="use --share with --similarity")  # fmt: skip
        gram = random_tasks(tasks, dim, 1, seed=seed).gram
        result = analyze_data(gram, rate, inner_steps=inner_steps, fast_rate=fast_rate, tolerance=tolerance)
    elif share is not None:
        limit = slow_step_limit(tasks, similarity=similarity, fast_rate=fast_rate)
        a, b = (float(v) for v in shares(share, fast_rate, inner_steps))
        result = analyze_shares(tasks, a, b, similarity=similarity, tolerance=tolerance,
                                size="slow step a = rate ||x||^2", value=share, limit=limit)  # fmt: skip
    else:
        assert slow is not None
        assert fast is not None
        result = analyze_shares(tasks, slow, fast, similarity=similarity, tolerance=tolerance)
    print(table(result, modes))
