"""Draw docs/architecture.png from the imports of the sources: rooms as boxes, what they import as lines.

``python docs/draw_architecture.py`` writes it again; a test fails when the rooms or their imports have
changed since. Lines that follow from others are left out: who imports a room reaches what that imports.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import matplotlib  # noqa: E402

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from tests.rooms import PACKAGES, rooms  # noqa: E402

COLOURS = {"toymodel": "#0072B2", "llm": "#D55E00", "bridge": "#009E73", "figures": "#CC79A7"}
WIDTH = 15.0


def plan() -> dict[str, set[str]]:
    """Rooms by what they import, without what follows from the rest; the command lines' own rooms on top."""
    graph = rooms()
    for package in PACKAGES:
        # Modules beside the rooms are the package's front (configuration, commands): both below and above
        # its rooms. Drawn as what they offer, they import nothing of their own package.
        if package in graph:
            graph[package] = {other for other in graph[package] if not other.startswith(package + ".")}
    return {name: _direct(name, graph) for name in graph}


def fingerprint() -> str:
    """What the picture shows, as a hash."""
    shown = {name: sorted(others) for name, others in sorted(plan().items())}
    return hashlib.sha256(json.dumps(shown).encode()).hexdigest()[:16]


def _reached(name: str, graph: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    left = list(graph.get(name, ()))
    while left:
        other = left.pop()
        if other not in found:
            found.add(other)
            left += graph.get(other, ())
    return found


def _direct(name: str, graph: dict[str, set[str]]) -> set[str]:
    others = graph[name]
    return {o for o in others if not any(o in _reached(p, graph) for p in others if p != o)}


def _levels(package: str, graph: dict[str, set[str]]) -> dict[str, int]:
    """Rooms of a package by how many of its rooms lie below them."""
    inside = [name for name in graph if name.partition(".")[0] == package]
    level: dict[str, int] = {}

    def of(name: str, above: tuple[str, ...] = ()) -> int:
        if name not in level:
            below = [o for o in graph[name] if o in inside and o not in above]
            level[name] = 1 + max((of(o, (*above, name)) for o in below), default=-1)
        return level[name]

    for name in inside:
        of(name)
    return level


def draw(out: Path) -> None:
    """Write the picture, with its fingerprint among the file's metadata."""
    graph = plan()
    places: dict[str, tuple[float, float]] = {}
    bands = []
    y = 0.0
    for package in PACKAGES:
        level = _levels(package, graph)
        bottom = y
        for row in range(1 + max(level.values())):
            names = sorted(name for name in level if level[name] == row)
            known = {n: [places[o][0] for o in graph[n] if o in places] for n in names}
            names.sort(key=lambda n: sum(known[n]) / len(known[n]) if known[n] else WIDTH / 2)
            for k, name in enumerate(names):
                places[name] = (WIDTH * (k + 0.5) / len(names), y)
            y += 1.0
        bands.append((package, bottom - 0.5, y - 0.5))
        y += 0.35
    figure, axes = plt.subplots(figsize=(13, 0.62 * y + 0.4))
    for package, low, high in bands:
        axes.axhspan(low, high, color=COLOURS[package], alpha=0.08, lw=0)
        axes.text(0.05, high - 0.08, package, color=COLOURS[package], va="top", weight="bold", size=13)
    for name, others in graph.items():
        for other in others:
            (x0, y0), (x1, y1) = places[name], places[other]
            bend = 0.12 if abs(y0 - y1) < 0.5 else 0.0
            axes.annotate(
                "", (x1, y1 + 0.2), (x0, y0 - 0.2),
                arrowprops={"arrowstyle": "-|>", "lw": 0.8, "alpha": 0.45, "mutation_scale": 8,
                            "color": COLOURS[name.partition(".")[0]],
                            "connectionstyle": f"arc3,rad={bend}"},
            )  # fmt: skip
    for name, (x, height) in places.items():
        package, _, short = name.partition(".")
        axes.text(
            x, height, short or f"{package} (front)", ha="center", va="center", size=10,
            bbox={"boxstyle": "round,pad=0.3", "fc": "white", "ec": COLOURS[package], "lw": 1.2},
        )  # fmt: skip
    axes.set(xlim=(0, WIDTH), ylim=(-0.6, y - 0.75))
    axes.axis("off")
    figure.tight_layout(pad=0.2)
    figure.savefig(out, dpi=110, metadata={"Description": fingerprint(), "Software": None})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "architecture.png")
    draw(parser.parse_args().out)
