"""Where searches begin."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bridge.model.terms import Term

__all__ = ["starting_points"]


def starting_points(
    terms: Sequence[Term], channels: int, count: int, seed: int = 0
) -> list[NDArray[np.float64]]:
    """Points over the plausible range, on the scale of theta; the first ones are known to be good.

    Args:
        terms: the parameters, in the order of theta.
        channels: of the form.
        count: how many.
        seed: of those beyond the first.
    """
    rng = np.random.default_rng(seed)
    result = []
    good = [
        ((0.6, 0.2, 0.2), (0.15, 0.1, 0.5)),
        ((0.4, 0.4, 0.5), (0.3, 0.2, 0.1)),
        ((0.2, 0.15, 1.0), (0.7, 0.1, 0.1)),
    ]
    for n in range(count):
        values: dict[tuple[str, int], float] = {}
        for channel in range(1, channels + 1):
            if n < len(good):
                u, s, v = good[n][(channel - 1) % 2]
            else:
                u, s, v = rng.uniform(0.05, 0.8), rng.uniform(0.05, 0.7), math.exp(rng.uniform(-3, 1))
            own = {"unfitted_fraction": u, "slow_share": s, "variance_ratio_w": v,
                   "weight": (1.0, 0.4, 2.5)[n % 3]}  # fmt: skip
            tag = channel if channels > 1 else 0
            values |= {(kind, tag): value for kind, value in own.items()}
        common = {
            "exponent": (2.0, 1.0, 3.0)[n % 3],
            "half_point": 1.0,
            "rate": (2.0, 1.0, 4.0)[n % 3],
            "near_similarity": -0.1,
            "reach": 3.0,
            "interference": 0.02,
            "diffusion": 0.001,
            "shared_fraction": 0.5,
        }
        values |= {(kind, 0): value for kind, value in common.items()}
        result.append(np.array([t.free(values.get((t.kind, t.channel), 0.0)) for t in terms]))
    return result
