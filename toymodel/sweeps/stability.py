"""Which points of a sweep are stable: known before any of them is computed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from toymodel.sweeps.plan import Plan
from toymodel.theory.ring import ring_stable
from toymodel.theory.spectrum import growth, rate_limit

__all__ = ["Stability"]

Floats = NDArray[np.float64]


class Stability:
    """Whether losses stay bounded at the points of a sweep of kind ``expected`` or ``sampled``.

    Args:
        plan: the sweep.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._order = plan.order.reshape(plan.epochs, plan.most) if plan.order.size else None
        # What needs eigenvalues is found once; grids ask for the same again and again.
        self._limits: dict[tuple[float, float], float] = {}
        self._radii: dict[tuple[float, float], float] = {}

    def __call__(self, values: dict[str, list[Any]], slow: Floats, fast: Floats) -> NDArray[np.bool_]:
        """One answer per point.

        Args:
            values: parameters of the points.
            slow: A by point and task, shape ``(n, T)``, after the gauge where similarity is uniform.
            fast: B, likewise.
        """
        if not len(self._plan.gram):
            tasks = np.array(values["tasks"], dtype=np.int64)
            found = np.empty(len(tasks), dtype=bool)
            for count in np.unique(tasks):
                here = tasks == count
                found[here] = ring_stable(slow[here, 0], fast[here, 0], int(count))
            return found
        if values["A"][0] is not None:
            pairs = zip(slow[:, 0].tolist(), fast[:, 0].tolist(), strict=True)
            return np.array([self._radius(*pair) <= 1 + 1e-9 for pair in pairs])
        kinds = zip(values["inner_steps"], values["fast_rate"], strict=True)
        limits = np.array([self._limit(*kind) for kind in kinds])
        return np.array(values["rate"], dtype=np.float64) <= limits

    def _radius(self, slow: float, fast: float) -> float:
        if (slow, fast) not in self._radii:
            self._radii[slow, fast] = growth(self._plan.gram, slow, fast, self._order)
        return self._radii[slow, fast]

    def _limit(self, inner_steps: int, fast_rate: float) -> float:
        if (inner_steps, fast_rate) not in self._limits:
            self._limits[inner_steps, fast_rate] = rate_limit(
                self._plan.gram, inner_steps=int(inner_steps), fast_rate=float(fast_rate), order=self._order
            )
        return self._limits[inner_steps, fast_rate]
