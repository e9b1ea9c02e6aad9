"""The theory figure, a panel for each part of docs/theory.md: lines from theory, dots from simulation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from figures.style import INK, SERIES, SHADE, figure_style, letter, new_figure
from toymodel import (
    Tasks,
    asymptotics,
    consensus_weights,
    cyclic_order,
    epoch_spectrum,
    expected_losses,
    gauge_shares,
    moment_losses,
    recovery_course,
    ring_recovery,
    ring_roots,
    ring_stable,
    schedule,
    shares,
    simulate,
    spread,
    transport,
)
from toymodel.theory.spectrum import Variances

__all__ = ["PANELS", "draw"]

Floats = NDArray[np.float64]
LINE: dict[str, Any] = {"color": INK, "linewidth": 1.2, "zorder": 2}
DASH: dict[str, Any] = LINE | {"linestyle": (0, (4, 1.6))}


def _dots(n: int, every: int = 1) -> dict[str, Any]:
    look = {"linestyle": "none", "markersize": 4.5, "markerfacecolor": "none", "markeredgewidth": 1.1}
    return look | {
        "color": SERIES[n]["color"],
        "marker": SERIES[n]["marker"],
        "markevery": every,
        "zorder": 3,
    }


def collapse(axes: Axes) -> None:
    """Sections 2 and 3: inner steps, partial fast steps and maps, all one recursion in A and B."""
    T, M, rate, K, eta = 8, 5, 0.12, 4, 0.3
    rng = np.random.default_rng(0)
    x = np.linalg.qr(rng.normal(size=(T + 3, T)))[0].T
    P, w, y = rng.normal(size=(M, T + 3)), rng.normal(size=M), rng.normal(size=(T, M))
    q = x @ P.T
    u = np.vstack([q, w])
    A, B = (float(v) for v in shares(rate, eta, K))
    axes.plot(
        moment_losses(u @ u.T, A, B, cyclic_order(T, 4))[:, 0], label=f"A = {A:.3f}, B = {B:.3f}", **LINE
    )
    options: dict[str, Any] = {
        "rate": rate,
        "epochs": 4,
        "inner_steps": K,
        "fast_rate": eta,
        "engine": "direct",
    }
    identity = simulate(Tasks(x, y, P, w), "identity", **options).losses.values[:, 0]
    # With y = 2 P x the reflection starts from the same solution vectors, y - P x = P x.
    reflected = simulate(Tasks(x, 2 * q, P, w), "reflection", **options).losses.values[:, 0]
    axes.plot(identity, label="f(w) = w", **_dots(0, 2))
    axes.plot(reflected, label="f(w) = y − w", **_dots(1, 3))
    axes.set(xlabel="training episode", ylabel="loss of task 1", ylim=(0, None))
    axes.legend(loc="upper right", title=f"K = {K} steps, η = {eta:g}", alignment="left")


def consensus(axes: Axes) -> None:
    """Section 3: whatever the order of training, the weights end where a conserved sum says."""
    T, M, epochs = 10, 6, 40
    rng = np.random.default_rng(5)
    x = rng.normal(size=(T, 14)) / np.sqrt(14)
    tasks = Tasks(x, np.zeros((T, M)), rng.normal(size=(M, 14)), rng.normal(size=M))
    u = np.vstack([x @ tasks.P.T, tasks.w])
    A, B = shares(0.5 * np.diag(tasks.gram))
    target = consensus_weights(tasks.gram, A, B) @ u
    radius = abs(epoch_spectrum(tasks.gram, A, B)[0])
    for n, kind in enumerate(("cyclic", "reshuffled", "iid")):
        order = schedule(kind, T, epochs, 1)
        run = simulate(tasks, "identity", rate=0.5, epochs=epochs, order=order, record="w")
        distance = np.linalg.norm(run.trajectories["w"][::T] - target, axis=1)
        if kind == "cyclic":
            slope = distance[-1] * radius ** np.arange(-epochs, 1.0)
            axes.plot(slope, label="eigenvalue of the cyclic epoch", **LINE)
        axes.plot(distance, label=f"{kind} order", **_dots(n))
    axes.set(xlabel="epoch", ylabel="||w − consensus||", yscale="log")
    axes.legend(loc="lower left")


def gauge(axes: Axes) -> None:
    """Section 4: uniformly similar data are orthogonal data with other shares."""
    T, A = 12, 0.6
    top = 0.0
    for n, rho in enumerate((0.0, 0.4, 0.8)):
        tasks = _similar(T, rho)
        run = simulate(tasks, "identity", rate=A, epochs=4, engine="direct").losses.values[:, 0]
        u = np.vstack([tasks.x @ tasks.P.T, tasks.w])
        a, b = (float(v) for v in gauge_shares(A, 1 - A, rho))
        axes.plot(moment_losses(u @ u.T, a, b, cyclic_order(T, 4))[:, 0], **LINE)
        axes.plot(run, label=f"similarity {rho:g}", **_dots(n, 2))
        top = max(top, float(run.max()))
    axes.plot([], [], label="orthogonal, A′ and B′", **LINE)
    axes.set(xlabel="training episode", ylabel="loss of task 1", ylim=(0, 1.35 * top))
    axes.legend(loc="upper right", ncols=2)


def _similar(T: int, rho: float, M: int = 400) -> Tasks:
    rng = np.random.default_rng(2)
    x: Floats = np.linalg.cholesky((1 - rho) * np.eye(T) + rho).astype(np.float64)
    # The same q to begin with at every similarity, so that only the shares differ.
    q = rng.normal(size=(T, M))
    P = np.linalg.solve(x, q).T.astype(np.float64)
    return Tasks(x, np.zeros((T, M)), P, rng.normal(size=M))


def spectrum(axes: Axes) -> None:
    """Section 5: eigenvalues of the epoch operator are the T-th powers of the ring polynomial's roots."""
    T = 25
    circle = np.exp(1j * np.linspace(0, 2 * np.pi, 400))
    axes.plot(circle.real, circle.imag, color=SHADE, linewidth=0.8)
    axes.plot([1], [0], "*", linestyle="none", color=INK, markersize=9, label="consensus")
    for n, (A, B) in enumerate(((1 / 3, 2 / 3), (0.3, 0.2))):
        numeric, roots = epoch_spectrum(np.eye(T), A, B), ring_roots(A, B, T) ** T
        axes.plot(numeric.real, numeric.imag, label=f"epoch operator, A = {A:.2g}, B = {B:.2g}", **_dots(n))
        axes.plot(roots.real, roots.imag, ".", color=INK, markersize=3, zorder=4)
    axes.plot([], [], ".", color=INK, markersize=3, label="μᵀ, roots μ of the polynomial")
    axes.set(xlabel="Re λ", ylabel="Im λ", aspect="equal", xlim=(-0.08, 1.12), ylim=(-0.4, 0.75))
    axes.legend(loc="upper left", fontsize=8)


def stability(axes: Axes) -> None:
    """Section 6: the region in (A, B), against the spectral radius on a grid."""
    T = 7
    grid = np.linspace(-0.55, 2.55, 32) + 0.013  # off the region's edges, where the radius is 1
    a, b = (v.ravel() for v in np.meshgrid(grid, grid))
    stable = np.array(
        [abs(epoch_spectrum(np.eye(T), *pair)[0]) <= 1 + 1e-9 for pair in zip(a, b, strict=True)]
    )
    agree = int((stable == ring_stable(a, b, T)).sum())
    inside, outside = SERIES[0]["color"], SERIES[1]["color"]
    axes.plot(a[stable], b[stable], ".", color=inside, markersize=4, label="stable")
    axes.plot(a[~stable], b[~stable], "x", color=outside, markersize=3, markeredgewidth=0.6, label="diverges")
    corner = 2 * T / (T - 1)
    axes.plot([0, 0, corner, 0], [0, 2, 2 - corner, 0], **LINE)
    axes.plot([0, T / (T - 1)], [1, -1 / (T - 1)], color=SERIES[2]["color"], linewidth=2.2)
    back = {"facecolor": "white", "edgecolor": "none", "pad": 1.5, "alpha": 0.9}
    axes.annotate("paper's model,\nB = 1 − A", (0.3, 0.7), (1.3, 1.35), bbox=back,
                  arrowprops={"arrowstyle": "->", "color": INK})  # fmt: skip
    axes.set(xlabel="slow share A", ylabel="fast share B", xlim=(-0.6, 2.6), ylim=(-0.6, 3.25))
    title = f"T = {T}: {agree} of {len(a)} points agree"
    axes.legend(loc="upper right", ncols=2, title=title, alignment="left")


def motion(axes: Axes) -> None:
    """Section 7: every mode turns and fades as a pattern that moves and spreads."""
    T = 100
    k = np.arange(1, 13)
    angle = 2 * np.pi * k / T
    for n, (A, B) in enumerate(((1 / 3, 2 / 3), (0.3, 0.4))):
        roots = ring_roots(A, B, T)
        leading = (roots[roots.imag > 0][: len(k)]) ** T
        turned = -np.unwrap(np.angle(leading)) * T / (2 * np.pi)
        full = _dots(n) | {"markerfacecolor": SERIES[n]["color"]}
        axes.plot(k, turned / k, label=f"turn / k, A = {A:.2g}, B = {B:.2g}", **_dots(n))
        axes.plot(k, -2 * np.log(np.abs(leading)) / angle**2, label="fading / k²", **full)
        axes.axhline(transport(A, B, T), **LINE)
        axes.axhline(spread(A, B, T), **DASH)
    axes.plot([], [], label="transport", **LINE)
    axes.plot([], [], label="spread", **DASH)
    axes.set(xlabel=f"harmonic k (T = {T})", ylabel="positions, positions² per epoch", ylim=(0, 4.2))
    axes.legend(loc="upper right", ncols=2)


def asymptote(axes: Axes) -> None:
    """Section 8: recovery scores approach what the dominant pair of modes predicts."""
    T, epochs = 25, 61
    for n, (A, B) in enumerate(((1 / 3, 2 / 3), (0.6, 0.4), (0.3, 0.2), (0.9, 0.1))):
        scores = [score.value for score in recovery_course(np.eye(T), A, B, epochs)]
        limit = asymptotics(np.eye(T), A, B)
        name = f"A = {A:.2g}, B = {B:.2g}: {limit.score}"
        axes.plot(np.arange(1, epochs), scores, label=name, **_dots(n, 2))
        axes.axhline(limit.score.value, **LINE)
        axes.axhspan(limit.low, limit.high, color=SERIES[n]["color"], alpha=0.3, linewidth=0)
    axes.set(xlabel="epoch", ylabel="recovery score", ylim=(0, 1.02), xlim=(0, epochs))
    axes.legend(loc="lower right", title="predicted for many epochs", alignment="left")


def landscape(axes: Axes) -> None:
    """Section 8: the asymptotic score over a and T, with the limit T/(T-1)."""
    slow = np.linspace(0.02, 1.5, 76)
    counts = np.unique(np.round(np.geomspace(2, 100, 36)).astype(int))
    scores = np.array([[ring_recovery(a, 1 - a, int(T)).value for a in slow] for T in counts])
    axes.set_facecolor("0.9")
    shown = np.ma.masked_invalid(scores)
    mesh = axes.pcolormesh(slow, counts, shown, vmin=0, vmax=1, rasterized=True)
    levels = axes.contour(
        slow, counts, np.nan_to_num(scores), [0.5, 0.9, 0.99], colors="white", linewidths=0.9
    )
    axes.clabel(levels, fontsize=8)
    fine = np.geomspace(2, 100, 200)
    axes.plot(fine / (fine - 1), fine, **(LINE | {"linewidth": 2}))
    axes.text(1.3, 14, "diverges", ha="center")
    axes.annotate("T/(T−1)", (1.09, 12), (1.18, 35), arrowprops={"arrowstyle": "->", "color": INK})
    axes.set(xlabel="a = rate·||x||²", ylabel="tasks T", yscale="log", xlim=(0.02, 1.5), ylim=(2, 100))
    axes.set_yticks([2, 5, 10, 25, 50, 100], ["2", "5", "10", "25", "50", "100"])
    axes.figure.colorbar(mesh, ax=axes, pad=0.02, label="asymptotic recovery score")


def expectation(axes: Axes) -> None:
    """Section 9: expected losses against the mean of simulations."""
    T, N, M, runs = 6, 8, 4, 300
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, (T, N))
    stack = []
    for _ in range(runs):
        tasks = Tasks(x, rng.normal(0, 0.6, (T, M)), rng.normal(0, 0.4, (M, N)), rng.normal(0, 0.5, M))
        stack.append(simulate(tasks, "reflection", rate=0.12, epochs=4).losses.values[:, 0])
    mean, error = np.mean(stack, axis=0), np.std(stack, axis=0, ddof=1) / np.sqrt(runs)
    variances: Variances = {"variance_p": 0.16, "variance_y": 0.36, "variance_w": 0.25}
    line = expected_losses(x @ x.T, dimension=M, rate=0.12, epochs=4, **variances).values[:, 0]
    axes.plot(line, label="expected loss", **LINE)
    look = {"fmt": "o", "markersize": 3, "linewidth": 0.9, "color": SERIES[0]["color"], "zorder": 3}
    axes.errorbar(
        np.arange(len(mean)), mean, 2 * error, label=f"mean of {runs} simulations, ± 2 s.e.", **look
    )
    axes.set(xlabel="training episode", ylabel="loss of task 1", ylim=(0, 1.25 * mean.max()))
    axes.legend(loc="upper right")


PANELS: dict[str, tuple[Callable[[Axes], None], str]] = {
    "a": (collapse, "inner steps and maps: one recursion"),
    "b": (consensus, "every order ends at one consensus"),
    "c": (gauge, "similarity is another pair of shares"),
    "d": (spectrum, "spectrum of one epoch, T = 25"),
    "e": (stability, "stability region"),
    "f": (motion, "transport and spread"),
    "g": (asymptote, "predicted and simulated recovery"),
    "h": (landscape, "asymptotic recovery, B = 1 − a"),
    "i": (expectation, "expected losses without sampling"),
}


def draw() -> Figure:
    """All panels; docs/theory.md refers to them by letter."""
    with figure_style():
        figure = new_figure(13.2, 11.4)
        for (name, (panel, title)), axes in zip(PANELS.items(), figure.subplots(3, 3).flat, strict=True):
            panel(axes)
            letter(axes, name, title)
    return figure
