"""The claims judged: in networks at every scale and in the toy, seed by seed; as text and as JSON."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from figures.catalogue import families
from figures.claims.statements import CLAIMS
from figures.claims.verdicts import Claim, Verdict
from figures.claims.worlds import Networks, Toy
from figures.evidence.collection import Runs
from figures.evidence.groups import Family
from figures.evidence.scales import SCALES, Scale
from toymodel.base.files import atomic_write

__all__ = ["ClaimResult", "evaluate", "table", "write_claims"]


@dataclass(frozen=True)
class ClaimResult:
    """A claim with its verdict at every scale and in the toy."""

    claim: Claim
    networks: Mapping[Scale, Verdict]
    toy: Verdict


def evaluate(runs: Runs, claims: Iterable[Claim] = CLAIMS) -> list[ClaimResult]:
    """Every claim with its verdicts."""
    worlds, toy = {scale: Networks(runs, scale) for scale in SCALES}, Toy()
    found: dict[str, dict[Scale, Family]] = {}
    judged = []
    for claim in claims:
        if claim.figure not in found:
            found[claim.figure] = {one.scale: one for one in families(claim.figure, runs)}
        verdicts: dict[Scale, Verdict] = {}
        for scale, world in worlds.items():
            if scale in claim.scales:
                verdict = claim.judge(world)
                networks = found[claim.figure].get(scale) if verdict.values else None
            else:
                verdict, networks = Verdict("not testable here", reason="not said of these"), None
            if networks:
                verdict = replace(verdict, networks=networks.title, settings=networks.settings)
            verdicts[scale] = verdict
        judged.append(ClaimResult(claim, verdicts, claim.judge(toy)))
    return judged


def table(judged: Sequence[ClaimResult]) -> str:
    """The table of paper against ours as text, a line per claim and scale."""
    lines = []
    for one in judged:
        lines.append(f"{one.claim.figure:<12}{one.claim.statement} ({one.claim.measure})")
        for where, verdict in (*one.networks.items(), ("toy", one.toy)):
            told = "; ".join(filter(None, (str(verdict), verdict.networks, verdict.settings)))
            told += f": {verdict.fix}" if verdict.fix else ""
            lines.append(f"{'':12}{where:<12}{verdict.state:<19}{told}")
    return "\n".join(lines)


def write_claims(path: str | os.PathLike[str], judged: Sequence[ClaimResult]) -> None:
    """Write ``claims.json``, whole or not at all: a list with an object per claim and scale.

    Each has ``figure``, ``claim``, ``scale`` (small, pythia or pretrained), ``holds`` (null where it cannot
    be tested), ``effect`` (the measure's mean over seeds), ``deviation``, ``seeds`` (their number),
    ``values`` by seed, ``measure``, ``above`` and ``below`` (between which every seed must lie),
    ``networks``, ``settings`` (that are not the preset's), ``reason``, ``command`` (of missing runs) and,
    of the toy's version, ``toy_holds`` and ``toy_effect``.
    """
    objects: list[dict[str, Any]] = []
    for one in judged:
        for scale, verdict in one.networks.items():
            objects.append({
                "figure": one.claim.figure, "claim": one.claim.statement, "scale": scale,
                "holds": verdict.holds, "effect": _number(verdict.mean), "seeds": len(verdict.values),
                "deviation": _number(verdict.deviation), "values": list(verdict.values),
                "measure": one.claim.measure, "above": _number(one.claim.above),
                "below": _number(one.claim.below), "networks": verdict.networks,
                "settings": verdict.settings, "reason": verdict.reason,
                "command": verdict.fix, "toy_holds": one.toy.holds, "toy_effect": _number(one.toy.mean),
            })  # fmt: skip
    with atomic_write(path, "w") as file:
        json.dump(objects, file, indent=1, ensure_ascii=False, allow_nan=False)
        file.write("\n")


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
