"""Similarity of documents taken from measured gradient cosines, and whether it earns its place.

``python -m bridge.studies.cosines --runs figures/recorded`` fits every run that has the gradient probe
(Fig. 8a) with no similarity beyond the gauge, with one that falls with distance in the order, with one
proportional to the measured cosines, and with the same cosines dealt out to other documents: what the last
explains is chance.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bridge.estimate.fit import fit
from bridge.model.mechanism import Mechanism
from bridge.studies.recorded import finished_runs
from toymodel import InputError, LossMatrix

__all__ = ["MeasuredSimilarity", "compare", "main"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MeasuredSimilarity(Mechanism):
    """A mechanism whose documents are similar in proportion to given numbers, the same in every epoch.

    The factor is the parameter `near_similarity`; `reach` plays no part and stays at its prior.

    Attributes:
        cosines: shape ``(T, T)``; the diagonal plays no part.
    """

    cosines: Floats | None = None

    def similarity(self, theta: Floats, order: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Similarity of documents in every epoch and its derivatives, as in `Mechanism`."""
        if self.cosines is None or not self.nearness:
            return super().similarity(theta, order)
        own = np.eye(order.shape[1])
        between = np.tile(np.where(own > 0, 0.0, self.cosines), (len(order), 1, 1))
        factor = self.layout.value(theta, "near_similarity")
        return factor * between + own, np.stack([between, np.zeros_like(between)], axis=1)


def compare(losses: LossMatrix, cosines: Floats, pairs: bool = True, seed: int = 0) -> dict[str, float]:
    """Evidence of each similarity over that of none, in nats (half the fall of `Noise.evidence`).

    Args:
        losses: of a run.
        cosines: of its documents' gradients, shape ``(T, T)``.
        pairs: whether documents' initial solutions are correlated too.
        seed: of the deal.
    """
    if cosines.shape != (losses.tasks, losses.tasks):
        raise InputError(f"cosines of shape {cosines.shape}", expected=f"{(losses.tasks,) * 2}",
                         fix="those of all documents of the run")  # fmt: skip
    dealt = np.random.default_rng(seed).permutation(losses.tasks)
    none = Mechanism(channels=1, pairs=pairs, nearness=False)
    own = np.array(cosines, dtype=np.float64)
    measured = MeasuredSimilarity(channels=1, pairs=pairs, cosines=own)
    forms = {
        "none": none,
        "distance in the order": replace(none, nearness=True),
        "measured cosines": measured,
        "cosines of other documents": replace(measured, cosines=own[np.ix_(dealt, dealt)]),
    }
    found = {name: fit(losses, form, intervals_by="none").noise.evidence for name, form in forms.items()}
    return {name: (found["none"] - value) / 2 for name, value in found.items() if name != "none"}


def main(runs: Path = Path("figures/recorded")) -> None:
    """Compare similarities on every run of a folder that has the gradient probe.

    Args:
        runs: Folder of run folders or of packed results.
    """
    for run in finished_runs(runs):
        if "gradients" in run.config.probes:
            cosines = run.probe("gradients")["cosines"]
            for pairs in (False, True):
                gains = compare(run.losses, cosines, pairs)
                words = ", ".join(f"{name} {value:+.0f}" for name, value in gains.items())
                print(f"seed {run.config.seed}, {'with' if pairs else 'without'} pairs: {words} nats")


if __name__ == "__main__":
    import tyro

    tyro.cli(main)
