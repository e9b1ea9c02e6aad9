"""How close runs have come to the bounds of a GPU: files that ``benchmarks/gpu.py`` wrote.

Every file in ``llm/cost/records/`` counts; a new one is taken up by being there.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm.config import RunConfig
from llm.cost.work import Work

__all__ = ["Record", "nearest_record", "read_records"]

_FOLDER = Path(__file__).with_name("records")


@dataclass(frozen=True)
class Record:
    """One network in one arithmetic on one device, executed the fastest way that was measured.

    Attributes:
        device: the GPU.
        model: the network.
        precision: ``ieee``, ``tf32`` or ``bf16``.
        optimizer: of the steps.
        version: of drawing and descending (`RunConfig.version`).
        matrix_rate: operations per second of a large matrix product.
        copy_bandwidth: bytes per second, read and written, of a large copy.
        step_operations: that a gradient step cannot do without.
        step_share: part of the bound's speed that a gradient step reaches.
        evaluation_share: the same of an evaluation.
        parameters: of the network.
        setup_seconds: before the first step; None where it was not recorded.
        together: how much longer a round of so many runs side by side took than an episode of one.
    """

    device: str
    model: str
    precision: str
    optimizer: str
    version: int
    matrix_rate: float
    copy_bandwidth: float
    step_operations: float
    step_share: float
    evaluation_share: float
    parameters: int
    setup_seconds: float | None = None
    together: Mapping[int, float] = field(default_factory=dict)

    def __str__(self) -> str:
        shares = f"{self.step_share:.0%} of a step's, {self.evaluation_share:.0%} of an evaluation's"
        return f"{self.model} {self.precision} {self.optimizer} was ({shares})"


def nearest_record(config: RunConfig, work: Work) -> Record:
    """The record of the run that is most like it: in precision, then in optimizer, then in size."""
    return min(
        read_records(),
        key=lambda record: (
            record.precision != config.precision,
            record.optimizer != config.optimizer,
            abs(math.log(record.step_operations / work.step_operations)),
        ),
    )


@functools.cache
def read_records(folder: Path = _FOLDER) -> tuple[Record, ...]:
    """All records of a folder."""
    found = []
    for file in sorted(folder.glob("*.json")):
        report = json.loads(file.read_text(encoding="utf-8"))
        found += [_record(report, result) for result in report["results"] if "graph" in result]
    return tuple(found)


def _record(report: dict[str, Any], result: dict[str, Any]) -> Record:
    bounds, graph = result["bounds_ms"], result["graph"]
    beside = result.get("together")
    return Record(
        device=report["device"],
        model=result["model"],
        precision=result["precision"],
        optimizer=result.get("optimizer", report["settings"]["optimizer"]),
        version=result.get("version", 1),
        matrix_rate=result["matrix_rate"],
        copy_bandwidth=result["copy_bandwidth"],
        step_operations=result["work"]["step_operations"],
        step_share=bounds["step"] / graph["step_ms"],
        evaluation_share=bounds["evaluation"] / graph["evaluation_ms"],
        parameters=result["parameters"],
        setup_seconds=_setup(result.get("setup_s", {})),
        together={beside["number"]: beside["ratio"]} if beside else {},
    )


def _setup(stages: Mapping[str, float]) -> float | None:
    """Seconds of the stages that a run goes through: it does not execute its first step in every way."""
    if not stages:
        return None
    others = [name for name in stages if name.startswith("first step") and name != "first step, graph"]
    return sum(seconds for name, seconds in stages.items() if name not in others)
